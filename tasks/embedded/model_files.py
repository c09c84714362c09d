"""The files of models: manifests, digests, and atomic copies."""

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20


def manifest(layers: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """Return the manifest of a model, by the digest and the bytes of each of its blobs."""
    kind = "application/vnd.ollama.image.model"
    return {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "layers": [{"mediaType": kind, "digest": digest, "size": size} for digest, size in layers],
    }


def digest(path: Path) -> str:
    """Return a file's sha256 in the notation of manifests."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def copy(source: Path, target: Path, expected: str) -> Iterator[int]:
    """Copy a file atomically, yielding the bytes done."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f"{target.name}-partial-", delete=False) as partial:
        path = Path(partial.name)
        try:
            with source.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    partial.write(chunk)
                    yield partial.tell()
            partial.close()
            if digest(path) != expected:
                raise OSError("digest mismatch, file must be downloaded again")
            path.replace(target)
        finally:
            path.unlink(missing_ok=True)


def write(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".partial-", delete=False) as partial:
        partial.write(content)
    Path(partial.name).replace(path)
