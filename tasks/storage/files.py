"""Files of results and documents: in a directory of this machine, or under s3://."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar
from weakref import finalize

from pydantic import BaseModel, ValidationError

from tasks.core.paths import Place, S3Path, is_s3, place_of
from tasks.core.visible import encodable
from tasks.storage.base import Files
from tasks.storage.local import Directory

__all__ = ["Files", "LocalFile", "Place", "S3Path", "entries", "files_at", "is_s3", "local_file", "place_of"]

M = TypeVar("M", bound=BaseModel)


def files_at(place: Place) -> Files:
    """The files of a directory."""
    if isinstance(place, Path):
        return Directory(place)
    from tasks.storage.s3 import s3_files  # who keeps nothing in S3 does not wait for boto3

    return s3_files(place)


class LocalFile:
    """A document as a file of this machine: itself, or a copy of S3's that goes when nobody has it open any more.

    MuPDF opens no file whose name is not UTF-8: such a one has a link with another name meanwhile.
    """

    def __init__(self, path: Path, copy: object = None) -> None:
        self.path = path
        self._copy = copy
        self._unlink: Callable[[], object] | None = None
        if encodable(str(path)) != str(path):
            folder = Path(tempfile.mkdtemp(prefix="hearth-"))
            self._unlink = finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self.path = folder / "document.pdf"
            self.path.symlink_to(path.absolute())

    def close(self) -> None:
        """Let go of it."""
        self._copy = None
        if self._unlink is not None:
            self._unlink()


def local_file(place: Place, copies: Path, most_mb: int) -> LocalFile:
    """A document as a file of this machine.

    Args:
        place: the document's.
        copies: where copies of S3's documents are.
        most_mb: of S3 nothing larger is copied, megabytes.

    Raises:
        InputError: it is in S3 and cannot be read, or is too large.
        StorageError: there is no room for its copy.
    """
    if isinstance(place, Path):
        return LocalFile(place)
    from tasks.storage.downloads import copy_of

    copy = copy_of(place, copies, most_mb)
    return LocalFile(copy.path, copy)


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
