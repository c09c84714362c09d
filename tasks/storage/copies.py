"""Documents as copies of a run's own, for as long as somebody reads them: what becomes of the original is no matter."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary, finalize

from tasks.core.errors import CloudError, DocumentError, IncompleteError, LimitError, StorageError
from tasks.core.paths import S3Path, StoragePath
from tasks.core.private import check_access, create_file, make_directory
from tasks.storage.file_locks import FileLease, remove_unheld, take_shared

_CHUNK = 1 << 20


class _Copy:
    """A file that goes with the last who knows of it. It is locked, that others see whether somebody is left."""

    def __init__(self, path: Path, lease: FileLease) -> None:
        self.path = path
        finalize(self, _remove, path, lease)


Version = tuple[int, ...]
"""Of a file of this machine: another one, or one that was written to, has another."""

_copies: WeakValueDictionary[tuple[StoragePath, str | Version], _Copy] = WeakValueDictionary()


def version_of(stat: os.stat_result) -> Version:
    """What changes when a file is written to or replaced."""
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def snapshot_of(path: Path, folder: Path) -> tuple[_Copy, Version]:
    """Copy a file of this machine as it is now, unless this process has such a copy; and tell its version.

    Args:
        path: the file.
        folder: where copies are; those of runs that were killed are cleared.

    Raises:
        IncompleteError: it was written to while it was copied.
        StorageError: there is no room for the copy.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        version = version_of(os.fstat(file.fileno()))
        copy = _copies.get((path, version))
        if copy is None:

            def fill(to: BinaryIO) -> None:
                to.writelines(_chunks(path, file))
                if version_of(os.fstat(file.fileno())) != version:
                    raise IncompleteError(f"{path} is being written to just now. Run again when it is whole.")

            copy = _copies[path, version] = _made(path, folder, fill)
    return copy, version


def _chunks(path: Path, file: BinaryIO) -> Iterator[bytes]:
    try:
        while chunk := file.read(_CHUNK):
            yield chunk
    except OSError as error:
        raise DocumentError(f"{path} cannot be read: {error.strerror}. Check the disk that it is on.") from None


def download_of(place: S3Path, folder: Path, most_mb: int) -> _Copy:
    """Download a document, unless this process has its copy and it has not changed.

    Args:
        place: the document's.
        folder: where copies are; those of runs that were killed are cleared.
        most_mb: nothing larger is fetched, megabytes.

    Raises:
        DocumentError: it is missing, or cannot be read.
        LimitError: it is too large.
        StorageError: there is no room for the copy.
    """
    from tasks.storage import s3_client as objects  # who keeps nothing in S3 does not wait for boto3

    def fill(to: BinaryIO) -> None:
        if not objects.download(place, to):
            raise DocumentError(f"{place} does not exist. Check the key.")

    try:
        found = objects.head(place)
        if found is None:
            raise DocumentError(f"{place} does not exist. Check the key.")
        if found.size > most_mb * 1_000_000:
            raise LimitError(
                f"{place} has {found.size / 1e6:.0f} MB; the limit is {most_mb} MB. "
                "Split it, or raise HEARTH_LIMITS__FILE_MB."
            )
        copy = _copies.get((place, found.etag))
        if copy is None:
            copy = _copies[place, found.etag] = _made(place, folder, fill)
    except CloudError as error:
        raise DocumentError(f"{place} cannot be read: {objects.why(error)}.") from None
    return copy


def _made(place: StoragePath, folder: Path, fill: Callable[[BinaryIO], None]) -> _Copy:
    try:
        copy = _empty(folder)
        with create_file(copy.path, "wb") as file:
            fill(file)
    except OSError as error:
        raise StorageError(
            f"{place} cannot be copied to {folder}: {error.strerror}. Make room, or set HEARTH_HOME to another place."
        ) from None
    return copy


def _empty(folder: Path) -> _Copy:
    check_access(folder.parent)
    make_directory(folder)
    for path in folder.iterdir():
        with suppress(StorageError):  # another user's, in a directory that several share
            remove_unheld(path)  # whoever had it was killed
    while True:
        path = folder / f"{uuid.uuid4().hex}.pdf"
        lease = take_shared(path)
        if path.exists():  # otherwise another run has just cleared it, before it was locked
            break
    return _Copy(path, lease)


def _remove(path: Path, lease: FileLease) -> None:
    path.unlink(missing_ok=True)
    lease.release()
