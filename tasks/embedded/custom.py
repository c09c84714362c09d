"""The model of an engine that the command line names: it has its own weights, and is always installed."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

from tasks.embedded.errors import UnknownModelError
from tasks.embedded.models import DEFAULT_MODEL, Model, Progress, Store, full_name

_BUILT_IN = "the model is part of the engine that this server was started with"


class CustomStore(Store):
    """A store of one model, named DEFAULT_MODEL, with the engine's name as its family."""

    def __init__(self, spec: str) -> None:
        super().__init__()
        digest = hashlib.sha256(spec.encode()).hexdigest()
        self._model = Model(DEFAULT_MODEL, digest, 0, datetime.now(UTC), (self.root,), family=spec)

    def models(self) -> list[Model]:
        """Return the one model."""
        return [self._model]

    def find(self, name: str) -> Model | None:
        """Return the model, if that is its name."""
        return self._model if full_name(name) == self._model.name else None

    def pull(self, name: str) -> Iterator[Progress]:
        """Succeed at once for the model, as Ollama does for an installed one."""
        yield {"status": "pulling manifest"}
        if self.find(name) is None:
            raise UnknownModelError("pull model manifest: file does not exist")
        yield {"status": "success"}

    def copy(self, source: str, destination: str) -> None:
        """Refuse: a second name needs a manifest."""
        full_name(destination)
        if self.find(source) is None:
            raise UnknownModelError(f'model "{source}" not found')
        raise PermissionError(_BUILT_IN)

    def delete(self, name: str) -> None:
        """Refuse: there is nothing to delete."""
        if self.find(name) is None:
            raise UnknownModelError(f"model '{name}' not found")
        raise PermissionError(_BUILT_IN)
