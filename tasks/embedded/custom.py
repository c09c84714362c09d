"""The model of an engine named on the command line: it brings its own weights, so it is simply there."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

from tasks.embedded.errors import UnknownModelError
from tasks.embedded.models import DEFAULT_MODEL, Model, Progress, Store, full_name


class CustomStore(Store):
    """Lists one model, under DEFAULT_MODEL's name and with the engine's name as its family."""

    def __init__(self, spec: str) -> None:
        super().__init__()
        digest = hashlib.sha256(spec.encode()).hexdigest()
        self._model = Model(DEFAULT_MODEL, digest, 0, datetime.now(UTC), self.root, family=spec)

    def models(self) -> list[Model]:
        """The one model."""
        return [self._model]

    def find(self, name: str) -> Model | None:
        """The model, if it is the one asked for."""
        return self._model if full_name(name) == self._model.name else None

    def pull(self, name: str) -> Iterator[Progress]:
        """Succeed for the model at once, as Ollama does for what is there already."""
        yield {"status": "pulling manifest"}
        if self.find(name) is None:
            raise UnknownModelError("pull model manifest: file does not exist")
        yield {"status": "success"}

    def copy(self, source: str, destination: str) -> None:
        """Refuse: a name that leads to no manifest would not be found again."""
        full_name(destination)
        if self.find(source) is None:
            raise UnknownModelError(f'model "{source}" not found')
        raise PermissionError("the model is part of the engine that this server was started with")

    def delete(self, name: str) -> None:
        """Refuse: there is nothing to delete."""
        if self.find(name) is None:
            raise UnknownModelError(f"model '{name}' not found")
        raise PermissionError("the model is part of the engine that this server was started with")
