"""Files of results and documents: in a directory of this machine, or under s3://."""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tasks.core.paths import S3Path, StoragePath, parse_path
from tasks.storage.base import Files
from tasks.storage.local import LocalFiles

__all__ = ["Files", "S3Path", "StoragePath", "entries", "files_at", "parse_path"]

M = TypeVar("M", bound=BaseModel)


def files_at(path: StoragePath) -> Files:
    """Return the files of a directory."""
    if isinstance(path, Path):
        return LocalFiles(path)
    from tasks.storage.s3 import s3_files  # without results in S3, boto3 is never imported

    return s3_files(path)


def entries(files: Files, name: str, kind: type[M]) -> Iterator[M]:
    """Yield the lines of a JSONL file, if it exists, without lines that were cut off when a run was killed.

    Raises:
        OutputError: it cannot be read.
    """
    for line in (files.read(name) or b"").decode(errors="replace").splitlines():
        try:
            yield kind.model_validate_json(line)
        except ValidationError:
            continue
