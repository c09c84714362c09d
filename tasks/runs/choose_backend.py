"""Which backend a run gets: the one that was asked for, or the first that fits."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.backends import url
from tasks.backends.base import Backend
from tasks.backends.registry import BACKENDS, OFFERS
from tasks.core.jobs import BackendName
from tasks.costs.assumptions import Assumptions
from tasks.costs.price_book import HOME_REGION, Term, current_book
from tasks.planning.cheapest import Suits, suitable
from tasks.planning.estimate import Shape
from tasks.settings.ec2 import SpotPolicy
from tasks.settings.sagemaker import Serving
from tasks.settings.settings import Settings

_AWS_SECONDS = 15 * 60.0
"""What ECS takes to end an empty machine, and SageMaker to scale in: docs/how-to/ecs.md, docs/how-to/sagemaker.md."""


@dataclass(frozen=True)
class Choice:
    """A backend, and why it was taken.

    Attributes:
        unasked: it costs money, and `auto` took it.
    """

    backend: Backend
    why: str
    unasked: bool = False


def choose_backend(name: BackendName, settings: Settings) -> Choice:
    """The backend of that name; for `auto`, the first that fits.

    A server whose address is set comes first, then what AWS may be taken of, then this machine.

    Raises:
        InputError: it lacks a setting.
    """
    if name is not BackendName.AUTO:
        return Choice(BACKENDS[name](settings), "it was asked for")
    passed_over = ""
    if settings.auto.backends and url.offer(settings) is None:
        suits = _on_aws(settings)
        if suits.backend is not None:
            return Choice(BACKENDS[suits.backend](settings), suits.why, unasked=True)
        passed_over = f"; {suits.why}"
    for each, offer in OFFERS.items():
        if (why := offer(settings)) is not None:
            return Choice(BACKENDS[each](settings), why + passed_over)
    raise AssertionError("the embedded backend always fits")


def _on_aws(settings: Settings) -> Suits:
    use, endpoint = settings.auto, settings.sagemaker_stack
    term = Term.ON_DEMAND if settings.ec2.spot_policy is SpotPolicy.ON_DEMAND else Term.SPOT
    shape = Shape.SAGEMAKER if endpoint.serving is Serving.REALTIME else Shape.SAGEMAKER_ASYNC
    book, given = current_book(settings.home), _deployed(settings)
    return suitable(use.backends, use.pages, use.runs_a_day, use.max_usd, given, book, term, shape)


def _deployed(settings: Settings) -> dict[BackendName, Assumptions]:
    """What is known of each by its settings; all else is assumed as by `hearth plan`."""
    pool, service, endpoint = settings.ec2_stack, settings.ecs_stack, settings.sagemaker_stack
    region = settings.ec2.region or HOME_REGION
    return {
        BackendName.EC2: Assumptions(
            region=region,
            instance_type=settings.ec2.types[0],
            slots=pool.slots,
            idle_seconds=settings.idle_minutes * 60,
            disk_gb=pool.disk_gb,
        ),
        BackendName.ECS: Assumptions(
            region=region,
            instance_type=service.types[0],
            slots=service.slots,
            machines=service.max_tasks,
            idle_seconds=service.idle_minutes * 60 + _AWS_SECONDS,
            disk_gb=service.disk_gb,
        ),
        BackendName.SAGEMAKER: Assumptions(
            region=region,
            instance_type=endpoint.instance_type.removeprefix("ml."),
            slots=endpoint.slots,
            idle_seconds=_AWS_SECONDS,
        ),
    }
