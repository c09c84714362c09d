"""The files of models: manifests, digests, and copies that are whole or not at all."""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FAMILY = "tesseract"
DEFAULT_MODEL = f"{FAMILY}:eng"
DEFAULT_TAGS = frozenset({"", "latest"})
"""Tags that mean DEFAULT_MODEL's: so `tesseract` and `tesseract:latest` are `tesseract:eng`."""

CONTEXT_LENGTH = 131_072
"""Tokens that a prompt may have. A page is no part of it: it may be as large as images may be."""

NOT_LANGUAGES = frozenset({"osd"})
"""Tesseract data that finds orientation and reads nothing."""

CHUNK = 1 << 20


def manifest(digest: str, size: int) -> dict[str, Any]:
    """Make the manifest of a model of one blob, of `size` bytes."""
    return {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": digest, "size": size}],
    }


def digest(path: Path) -> str:
    """Return a file's sha256, as manifests name it."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def copy(source: Path, target: Path, wanted: str) -> Iterator[int]:
    """Copy by way of a private file, yielding the bytes done; the target appears whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f"{target.name}-partial-", delete=False) as partial:
        path = Path(partial.name)
        try:
            with source.open("rb") as file:
                while chunk := file.read(CHUNK):
                    partial.write(chunk)
                    yield partial.tell()
            partial.close()
            if digest(path) != wanted:
                raise OSError("digest mismatch, file must be downloaded again")
            path.replace(target)
        finally:
            path.unlink(missing_ok=True)


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".partial-", delete=False) as partial:
        partial.write(content)
    Path(partial.name).replace(path)
