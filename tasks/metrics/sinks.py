"""Where a run's numbers go, by the settings."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.aws.client import Aws
from tasks.metrics.cloudwatch import CloudWatch
from tasks.metrics.recorder import Identity, Sink
from tasks.metrics.totals import Reader, TotalsSink
from tasks.settings.settings import Settings


def sinks_for(settings: Settings, identity: Identity) -> Sequence[Sink]:
    """The machine's totals, and CloudWatch if it is asked for.

    Raises:
        InputError: what a sink needs is not installed.
    """
    chosen = settings.metrics
    readers: list[Reader] = []
    if chosen.textfile is not None:
        from tasks.metrics.prometheus import Textfile

        readers.append(Textfile(chosen.textfile, settings.home))
    if chosen.otlp is not None:
        from tasks.metrics.otlp import Otlp

        readers.append(Otlp(chosen.otlp, settings.home))
    sinks: list[Sink] = [TotalsSink(settings.home, (identity.pool, identity.model), readers)]
    if chosen.cloudwatch:
        sinks.append(CloudWatch(Aws(settings.ec2.region), {"Pool": identity.pool, "Model": identity.model}))
    return sinks
