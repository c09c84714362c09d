"""Names of models, compared by Ollama's rules."""

from collections.abc import Sequence
from typing import Protocol, TypeVar


class _Named(Protocol):
    @property
    def name(self) -> str: ...


M = TypeVar("M", bound=_Named)

_DEFAULTS = ("registry.ollama.ai", "library")
"""Default host and namespace."""


def find_model(name: str, models: Sequence[M]) -> M | None:
    """Return the model of that name, else the one of that name in another notation; None if it is not listed."""
    exact = (model for model in models if model.name == name)
    alike = (model for model in models if canonical_name(model.name) == canonical_name(name))
    return next(exact, None) or next(alike, None)


def canonical_name(name: str) -> str:
    """Return a model's full name, host/namespace/model:tag in lower case.

    By Ollama's rules (types/model/name.go) the defaults are registry.ollama.ai, library and latest, a scheme is
    dropped, and case does not matter.
    """
    path, colon, tag = name.strip().rpartition(":")
    if not colon or "/" in tag:  # the colon belongs to a port
        path, tag = name.strip(), ""
    parts = path.rpartition("://")[2].rsplit("/", 2)
    host, namespace = [*_DEFAULTS[: 3 - len(parts)], *parts[:-1]]
    return f"{host}/{namespace}/{parts[-1]}:{tag or 'latest'}".lower()
