"""Choose the backend of a run: the requested one, or the first that fits."""

from dataclasses import dataclass

from tasks.backends.base import Backend
from tasks.backends.registry import BACKENDS
from tasks.core.jobs import BackendName
from tasks.settings.settings import Settings


@dataclass(frozen=True)
class Choice:
    """A backend, and why it was chosen."""

    backend: Backend
    why: str


def choose_backend(name: BackendName, settings: Settings) -> Choice:
    """Return the backend of that name; for `auto`, the first that fits and costs nothing.

    These are a server whose address is set, Ollama on this machine, and the embedded server.

    Raises:
        InputError: the backend lacks a setting.
    """
    if name is not BackendName.AUTO:
        return Choice(BACKENDS[name].open(settings), "it was asked for")
    for candidate in BACKENDS.values():
        if (why := candidate.offer(settings)) is not None:
            return Choice(candidate.open(settings), why)
    raise AssertionError("the embedded backend always fits")
