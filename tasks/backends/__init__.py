"""Where Ollama runs: one module each, found by name. A new one is a module and a line in `_BACKENDS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasks.backends import ec2, ecs, embedded, ollama, sagemaker, url
from tasks.backends.base import Backend, Endpoint, MachineFacts, Release
from tasks.jobs import BackendName
from tasks.settings import Settings

__all__ = ["Backend", "Choice", "Endpoint", "MachineFacts", "Release", "choose_backend"]

_BACKENDS: dict[BackendName, tuple[Callable[[Settings], Backend], Callable[[Settings], str | None]]] = {
    # In the order in which `auto` asks them whether they fit.
    BackendName.URL: (url.UrlBackend, url.offer),
    BackendName.OLLAMA: (ollama.OllamaBackend, ollama.offer),
    BackendName.EMBEDDED: (embedded.EmbeddedBackend, embedded.offer),
    # What costs money is taken only by name.
    BackendName.EC2: (ec2.Ec2Backend, ec2.offer),
    BackendName.SAGEMAKER: (sagemaker.SagemakerBackend, sagemaker.offer),
    BackendName.ECS: (ecs.EcsBackend, ecs.offer),
}


@dataclass(frozen=True)
class Choice:
    """A backend, and why it was taken."""

    backend: Backend
    why: str


def choose_backend(name: BackendName, settings: Settings) -> Choice:
    """The backend of that name; for `auto`, the first that fits.

    Raises:
        InputError: it lacks a setting.
    """
    if name is not BackendName.AUTO:
        return Choice(_BACKENDS[name][0](settings), "it was asked for")
    for make, offer in _BACKENDS.values():
        why = offer(settings)
        if why is not None:
            return Choice(make(settings), why)
    raise AssertionError("the embedded backend always fits")
