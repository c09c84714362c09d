"""Files of results and documents: in a directory of this machine, or under s3://."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from tasks.core.paths import S3Path, StoragePath, is_s3, parse_path
from tasks.storage.base import Files
from tasks.storage.copies import Version, download_of, snapshot_of, version_of
from tasks.storage.local import Directory

__all__ = ["Files", "LocalFile", "S3Path", "StoragePath", "entries", "files_at", "is_s3", "local_file", "parse_path"]

M = TypeVar("M", bound=BaseModel)


def files_at(place: StoragePath) -> Files:
    """The files of a directory."""
    if isinstance(place, Path):
        return Directory(place)
    from tasks.storage.s3 import s3_files  # who keeps nothing in S3 does not wait for boto3

    return s3_files(place)


class LocalFile:
    """A document as a file of this machine that stays as it is while it is read: a copy that goes with its last user.

    Attributes:
        path: the copy's; the document's own where that is no file that could be read.
    """

    def __init__(self, path: Path, copy: object = None, original: Path | None = None, version: Version = ()) -> None:
        self.path = path
        self._copy = copy
        self._original = original
        self._version = version

    def changed(self, sha256: str) -> bool:
        """Return whether the document is still there, but not as it was copied.

        Args:
            sha256: of the copy. A file that was only touched, or replaced by its like, has not changed.
        """
        if self._original is None:
            return False
        try:
            with self._original.open("rb") as file:
                if version_of(os.fstat(file.fileno())) == self._version:
                    return False
                return hashlib.file_digest(file, "sha256").hexdigest() != sha256
        except OSError:  # it was moved away or deleted, which changes nothing of what was read
            return False

    def close(self) -> None:
        """Let go of it."""
        self._copy = None


def local_file(place: StoragePath, copies: Path, most_mb: int) -> LocalFile:
    """Copy a document, so that a run reads one file whatever becomes of the original.

    Args:
        place: the document's.
        copies: where copies are.
        most_mb: nothing larger is copied, megabytes.

    Raises:
        InputError: it is in S3 and cannot be read, or is too large; or it is written to just now.
        StorageError: there is no room for its copy.
    """
    if isinstance(place, S3Path):
        copy = download_of(place, copies, most_mb)
        return LocalFile(copy.path, copy)
    try:
        if not place.is_file() or place.stat().st_size > most_mb * 1_000_000:
            return LocalFile(place)  # whoever opens it says what is wrong with it
        copy, version = snapshot_of(place, copies)
    except (OSError, ValueError):
        return LocalFile(place)
    return LocalFile(copy.path, copy, place, version)


def entries(files: Files, name: str, kind: type[M]) -> Iterator[M]:
    """The lines of a file of JSON objects, if it is there; one that was cut off when a run was killed is left out.

    Raises:
        OutputError: it cannot be read.
    """
    for line in (files.read(name) or b"").decode(errors="replace").splitlines():
        try:
            yield kind.model_validate_json(line)
        except ValidationError:
            continue
