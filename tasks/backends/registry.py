"""Where Ollama runs: one module each, found by name. A new one is a module and a line in `_BACKENDS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasks.backends import url
from tasks.backends.base import Backend
from tasks.backends.ec2 import backend as ec2
from tasks.backends.ecs import backend as ecs
from tasks.backends.local import embedded, ollama
from tasks.backends.sagemaker import backend as sagemaker
from tasks.core.jobs import BackendName
from tasks.costs.assumptions import Assumptions
from tasks.costs.price_book import HOME_REGION, Term, current
from tasks.planning.architectures import Shape
from tasks.planning.cheapest import Suits, suitable
from tasks.settings.sagemaker import Serving
from tasks.settings.settings import Settings, SpotPolicy

_BACKENDS: dict[BackendName, tuple[Callable[[Settings], Backend], Callable[[Settings], str | None]]] = {
    # In the order in which `auto` asks them whether they fit.
    BackendName.URL: (url.UrlBackend, url.offer),
    BackendName.OLLAMA: (ollama.OllamaBackend, ollama.offer),
    BackendName.EMBEDDED: (embedded.EmbeddedBackend, embedded.offer),
    # What costs money is taken only by name, or where HEARTH_AUTO__BACKENDS names it.
    BackendName.EC2: (ec2.Ec2Backend, ec2.offer),
    BackendName.SAGEMAKER: (sagemaker.SagemakerBackend, sagemaker.offer),
    BackendName.ECS: (ecs.EcsBackend, ecs.offer),
}


_AWS_SECONDS = 15 * 60.0
"""What ECS takes to end an empty machine, and SageMaker to scale in: docs/ecs.md, docs/sagemaker.md."""


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
        return Choice(_BACKENDS[name][0](settings), "it was asked for")
    passed_over = ""
    if settings.auto.backends and url.offer(settings) is None:
        suits = _on_aws(settings)
        if suits.backend is not None:
            return Choice(_BACKENDS[suits.backend][0](settings), suits.why, unasked=True)
        passed_over = f"; {suits.why}"
    for make, offer in _BACKENDS.values():
        why = offer(settings)
        if why is not None:
            return Choice(make(settings), why + passed_over)
    raise AssertionError("the embedded backend always fits")


def _on_aws(settings: Settings) -> Suits:
    use, endpoint = settings.auto, settings.sagemaker_stack
    term = Term.ON_DEMAND if settings.ec2.spot_policy is SpotPolicy.ON_DEMAND else Term.SPOT
    shape = Shape.SAGEMAKER if endpoint.serving is Serving.REALTIME else Shape.SAGEMAKER_ASYNC
    book, given = current(settings.home), _deployed(settings)
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
