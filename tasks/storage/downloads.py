"""Private copies of documents: a run reads its copy, whatever happens to the original meanwhile."""

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary, finalize

from tasks.core.errors import CloudError, DocumentError, IncompleteError, LimitError, StorageError
from tasks.core.file_locks import FileLock, remove_unheld, take_shared
from tasks.core.paths import S3Path, StoragePath
from tasks.core.private import check_access, create_file, make_directory

_CHUNK = 1 << 20

Version = tuple[int, ...]
"""A local file's version, which changes when the file is written to or replaced."""


class _Download:
    """A copy that is removed with its last user. Its lock shows other processes whether it is still in use."""

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        finalize(self, _remove, path, lock)


_tidied: set[Path] = set()
"""Folders from which this process has removed what killed runs left."""
_downloads: WeakValueDictionary[tuple[StoragePath, str | Version], _Download] = WeakValueDictionary()


class LocalCopy:
    """A document as a local file that does not change while it is read.

    Attributes:
        path: the copy's, or the document's own if that is not a readable file.
    """

    def __init__(
        self, path: Path, download: _Download | None = None, original: Path | None = None, version: Version = ()
    ) -> None:
        self.path = path
        self._download = download
        self._original = original
        self._version = version

    def changed(self, sha256: str) -> bool:
        """Return whether the document is still there with other content than was copied.

        A file that was only touched, or replaced by the same content, has not changed.
        """
        if self._original is None:
            return False
        try:
            with self._original.open("rb") as file:
                if _version(file) == self._version:
                    return False
                return hashlib.file_digest(file, "sha256").hexdigest() != sha256
        except OSError:  # it was moved or deleted, which does not affect what was read
            return False

    def close(self) -> None:
        """Stop using the copy."""
        self._download = None


def local_copy(document: StoragePath, folder: Path, most_mb: int) -> LocalCopy:
    """Copy a document of at most `most_mb` megabytes, unless this process has a copy of its current version.

    Copies of killed runs are removed from the folder.

    Raises:
        InputError: it is in S3 and cannot be read or is too large, or it is being written to.
        StorageError: there is no room for the copy.
    """
    if isinstance(document, S3Path):
        download = _from_s3(document, folder, most_mb)
        return LocalCopy(download.path, download)
    try:
        if not document.is_file() or document.stat().st_size > most_mb * 1_000_000:
            return LocalCopy(document)  # opening it reports what is wrong with it
        with document.open("rb") as file:
            version = _version(file)
            download = _download(document, version, folder, lambda to: _copy(document, file, version, to))
    except (OSError, ValueError):
        return LocalCopy(document)
    return LocalCopy(download.path, download, document, version)


def _version(file: BinaryIO) -> Version:
    stat = os.fstat(file.fileno())
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _copy(path: Path, file: BinaryIO, version: Version, to: BinaryIO) -> None:
    to.writelines(_chunks(path, file))
    if _version(file) != version:
        raise IncompleteError(f"{path} is still being written. Run again when it is complete.")


def _chunks(path: Path, file: BinaryIO) -> Iterator[bytes]:
    try:
        while chunk := file.read(_CHUNK):
            yield chunk
    except OSError as error:
        raise DocumentError(f"{path} cannot be read: {error.strerror}. Check its disk.") from None


def _from_s3(path: S3Path, folder: Path, most_mb: int) -> _Download:
    from tasks.storage import s3_client  # without documents in S3, boto3 is never imported

    missing = DocumentError(f"{path} does not exist. Check the key.")

    def fill(to: BinaryIO) -> None:
        if not s3_client.download(path, to):
            raise missing

    try:
        stored = s3_client.head(path)
        if stored is None:
            raise missing
        if stored.size > most_mb * 1_000_000:
            raise LimitError(
                f"{path} has {stored.size / 1e6:.0f} MB; the limit is {most_mb} MB. "
                "Split it, or raise HEARTH_LIMITS__FILE_MB."
            )
        return _download(path, stored.etag, folder, fill)
    except CloudError as error:
        raise DocumentError(f"{path} cannot be read: {s3_client.advice(error)}.") from None


def _download(
    document: StoragePath, version: str | Version, folder: Path, fill: Callable[[BinaryIO], None]
) -> _Download:
    """Return this process's copy of one version of a document, and make it if there is none."""
    download = _downloads.get((document, version))
    if download is None:
        try:
            download = _empty(folder)
            with create_file(download.path, "wb") as file:
                fill(file)
        except OSError as error:
            raise StorageError(
                f"{document} cannot be copied to {folder}: {error.strerror}. "
                "Free space there, or set HEARTH_HOME to another directory."
            ) from None
        _downloads[document, version] = download
    return download


def _empty(folder: Path) -> _Download:
    check_access(folder.parent)
    make_directory(folder)
    if folder not in _tidied:
        _tidied.add(folder)
        for path in folder.iterdir():
            with suppress(StorageError):  # another user's, in a shared directory
                remove_unheld(path)  # its run was killed
    while True:
        path = folder / f"{uuid.uuid4().hex}.pdf"
        lock = take_shared(path)
        if path.exists():  # otherwise another run has removed it just before it was locked
            return _Download(path, lock)


def _remove(path: Path, lock: FileLock) -> None:
    path.unlink(missing_ok=True)
    lock.release()
