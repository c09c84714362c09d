"""Names of models, by Ollama's rules."""

from __future__ import annotations

from typing import TypeVar

from tasks.inference.schema import LoadedModel, Model

M = TypeVar("M", Model, LoadedModel)


_DEFAULTS = ("registry.ollama.ai", "library")
"""Host and namespace of a name that has none."""


def find_model(name: str, models: tuple[M, ...]) -> M | None:
    """Return the model of that name, however it is written; None if it is not listed."""
    return next((model for model in models if canonical_name(model.name) == canonical_name(name)), None)


def canonical_name(name: str) -> str:
    """Return a model's name in full, as host/namespace/model:tag in lower case: equal for the same model.

    By Ollama's rules (types/model/name.go): what is missing is registry.ollama.ai, library and latest; a scheme is
    dropped; case does not matter.
    """
    path, colon, tag = name.strip().rpartition(":")
    if not colon or "/" in tag:  # the colon of a port
        path, tag = name.strip(), ""
    parts = path.rpartition("://")[2].rsplit("/", 2)
    host, namespace = [*_DEFAULTS[: 3 - len(parts)], *parts[:-1]]
    return f"{host}/{namespace}/{parts[-1]}:{tag or 'latest'}".lower()
