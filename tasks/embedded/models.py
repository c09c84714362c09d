"""The model store: blobs named by their sha256 and one manifest per model, as Ollama lays them out.

    <root>/blobs/sha256-<64 hex>                                the weights: a language each
    <root>/manifests/registry.ollama.ai/library/<name>/<tag>    which blobs a model is

The store starts empty. `pull` takes weights from the trained data on this machine; see `languages`.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tasks.embedded import model_files
from tasks.embedded.errors import InvalidNameError, UnknownModelError
from tasks.embedded.languages import FAMILY, TrainedData

DEFAULT_MODEL = f"{FAMILY}:eng"
DEFAULT_TAGS = frozenset({"", "latest"})
"""Tags that mean the default one: `tesseract` and `tesseract:latest` are `tesseract:eng`."""

CONTEXT_LENGTH = 131_072
"""Maximum tokens of a prompt, without its images."""

_NAME = re.compile(
    r"(?:(?P<host>\w[\w.:-]*)/)??(?:(?P<namespace>\w[\w.-]*)/)?(?P<model>\w[\w.-]{0,79})(?::(?P<tag>\w[\w.-]{0,79}))?",
    re.ASCII,
)
Progress = dict[str, str | int]


@dataclass(frozen=True, slots=True)
class Model:
    """An installed model."""

    name: str
    digest: str
    """sha256 of the manifest in hex, equal for equal weights on every machine."""
    size: int
    """Bytes."""
    modified_at: datetime
    weights: tuple[Path, ...]
    """The files: the most important language first."""
    family: str = FAMILY

    @property
    def details(self) -> dict[str, object]:
        """The `details` object of the API."""
        return {
            "parent_model": "",
            "format": "traineddata",
            "family": self.family,
            "families": [self.family],
            "parameter_size": "",
            "quantization_level": "",
        }


def full_name(name: str) -> str:
    """Return a model's name as it is listed: in lower case, with its tag, without the default registry.

    Raises InvalidNameError for a name that Ollama refuses, too.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise InvalidNameError("invalid model name")
    host, namespace, model, tag = (part.lower() for part in match.groups(""))
    if host in {"", "registry.ollama.ai"} and namespace in {"", "library"}:
        prefix = ""
    else:
        prefix = f"{host}/{namespace}/".lstrip("/")
    if model == FAMILY and not prefix and tag in DEFAULT_TAGS:
        return DEFAULT_MODEL
    return f"{prefix}{model}:{tag or 'latest'}"


class Store:
    """The models under one directory. Safe to use from several processes at once.

    Methods that take a name raise InvalidNameError if no model can have that name, and UnknownModelError if the model
    is not installed or, for `pull`, this machine has no weights for it.
    """

    def __init__(self, root: Path | None = None, sources: list[Path] | None = None) -> None:
        """Use `root`, or HEARTH_EMBEDDED_MODELS, or the user's cache; look for weights in `sources` first."""
        self.root = root or Path(
            os.environ.get("HEARTH_EMBEDDED_MODELS", "") or Path.home() / ".cache/hearth/embedded/models"
        )
        self._library = self.root / "manifests" / "registry.ollama.ai" / "library"
        self.data = TrainedData(tuple(sources or ()))

    def models(self) -> list[Model]:
        """Return the installed models, the most recently pulled first."""
        paths = (path.relative_to(self._library) for path in self._library.rglob("*") if path.is_file())
        names = (f"{path.parent.as_posix()}:{path.name}" for path in paths)
        models = (self.find(name) for name in names if _NAME.fullmatch(name))
        return sorted((model for model in models if model), key=lambda model: model.modified_at, reverse=True)

    def find(self, name: str) -> Model | None:
        """Return the installed model of that name, or None."""
        name = full_name(name)
        path = self.manifest_path(name)
        try:
            content = path.read_bytes()
            modified = path.stat().st_mtime
            layers = json.loads(content)["layers"]
            weights = tuple(self._blob_path(layer["digest"]) for layer in layers)
            size = sum(int(layer["size"]) for layer in layers)
        except (OSError, ValueError, LookupError, TypeError):
            return None
        if not weights:
            return None
        digest = hashlib.sha256(content).hexdigest()
        return Model(name, digest, size, datetime.fromtimestamp(modified, UTC), weights)

    def pull(self, name: str) -> Iterator[Progress]:
        """Install a model, yielding the progress in Ollama's words."""
        name = full_name(name)
        yield {"status": "pulling manifest"}
        layers = [(source, model_files.digest(source)) for source in self.data.files_of(name)]
        for source, digest in layers:
            yield from self._pull_layer(source, digest)
        yield {"status": "verifying sha256 digest"}
        yield {"status": "writing manifest"}
        manifest = model_files.manifest([(digest, source.stat().st_size) for source, digest in layers])
        model_files.write(self.manifest_path(name), json.dumps(manifest, separators=(",", ":")).encode())
        yield {"status": "success"}

    def _pull_layer(self, source: Path, digest: str) -> Iterator[Progress]:
        size, blob = source.stat().st_size, self._blob_path(digest)
        about: Progress = {"status": f"pulling {digest[7:19]}", "digest": digest, "total": size}
        yield about
        complete = blob.exists() and model_files.digest(blob) == digest
        for completed in (size,) if complete else model_files.copy(source, blob, digest):
            yield about | {"completed": completed}

    def copy(self, source: str, destination: str) -> None:
        """Give a model a second name."""
        model = self.find(source)
        if model is None:
            raise UnknownModelError(f'model "{source}" not found')
        model_files.write(self.manifest_path(full_name(destination)), self.manifest_path(model.name).read_bytes())

    def delete(self, name: str) -> None:
        """Remove a model, and its weights unless another model shares them."""
        model = self.find(name)
        if model is None:
            raise UnknownModelError(f"model '{name}' not found")
        self.manifest_path(model.name).unlink(missing_ok=True)
        for blob in set(model.weights).difference(*(other.weights for other in self.models())):
            blob.unlink(missing_ok=True)

    def _blob_path(self, digest: str) -> Path:
        return self.root / "blobs" / digest.replace(":", "-")

    def manifest_path(self, name: str) -> Path:
        """Return the path of a model's manifest, by its full name."""
        model, _, tag = name.rpartition(":")
        return self._library / model / tag


def installed_digest(name: str, root: Path | None = None) -> str | None:
    """Return a model's digest as in /api/tags (64 hex digits), or None if it is not installed."""
    model = Store(root).find(name)
    return model.digest if model else None
