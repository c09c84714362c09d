"""Where a run's metrics go: one shape of a sink, chosen by the settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tasks.aws.client import Aws
from tasks.metrics.aggregate import Snapshot
from tasks.metrics.cloudwatch import CloudWatch
from tasks.metrics.totals import TotalsSink
from tasks.settings.settings import Settings


class Sink(Protocol):
    """A receiver of metrics."""

    name: str

    def publish(self, snapshot: Snapshot) -> None:
        """Send or store what is new of everything that the run has counted so far. Called in the recorder's thread.

        Raises:
            HearthError: it cannot be sent or stored.
        """
        ...


@dataclass(frozen=True)
class Identity:
    """The run that metrics belong to.

    Attributes:
        name: what is read, and where, for people.
        pool: the pool on AWS, else the backend's name.
    """

    name: str
    backend: str
    pool: str
    model: str


def sinks_for(settings: Settings, identity: Identity) -> Sequence[Sink]:
    """Return the machine's totals, and what the settings add.

    Raises:
        InputError: a package that a sink needs is not installed.
    """
    chosen = settings.metrics
    sinks: list[Sink] = [TotalsSink(settings.home, (identity.pool, identity.model))]
    if chosen.textfile is not None:
        from tasks.metrics.prometheus import Textfile

        sinks.append(Textfile(chosen.textfile, settings.home))
    if chosen.otlp is not None:
        from tasks.metrics.otlp import Otlp

        sinks.append(Otlp(chosen.otlp, settings.home))
    if chosen.cloudwatch:
        sinks.append(CloudWatch(Aws(settings.ec2.region), {"Pool": identity.pool, "Model": identity.model}))
    return sinks
