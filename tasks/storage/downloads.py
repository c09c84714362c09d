"""Documents of S3 as local files, for as long as somebody reads them."""

from __future__ import annotations

import uuid
from pathlib import Path
from weakref import WeakValueDictionary, finalize

from tasks.core.errors import CloudError, DocumentError, LimitError, StorageError
from tasks.core.paths import S3Path
from tasks.storage import s3_client as objects
from tasks.storage.file_locks import FileLease, take_shared, try_exclusive


class _Copy:
    """A file that goes with the last who knows of it. It is locked, that others see whether somebody is left."""

    def __init__(self, path: Path, lease: FileLease) -> None:
        self.path = path
        finalize(self, _remove, path, lease)


_copies: WeakValueDictionary[tuple[S3Path, str], _Copy] = WeakValueDictionary()


def copy_of(place: S3Path, folder: Path, most_mb: int) -> _Copy:
    """A document's copy: the one that there is in this process, if the document has not changed, or a new one.

    Args:
        place: the document's.
        folder: where copies are; those of runs that were killed are cleared.
        most_mb: nothing larger is fetched, megabytes.

    Raises:
        DocumentError: it is missing, or cannot be read.
        LimitError: it is too large.
        StorageError: there is no room for the copy.
    """
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
            copy = _copies[place, found.etag] = _fetched(place, folder)
    except CloudError as error:
        raise DocumentError(f"{place} cannot be read: {objects.why(error)}.") from None
    except OSError as error:
        raise StorageError(
            f"{place} cannot be copied to {folder}: {error.strerror}. Make room, or set HEARTH_HOME to another place."
        ) from None
    return copy


def _fetched(place: S3Path, folder: Path) -> _Copy:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in folder.iterdir():
        lease = try_exclusive(path)
        if lease is not None:  # whoever had it was killed
            _remove(path, lease)
    while True:
        path = folder / f"{uuid.uuid4().hex}.pdf"
        lease = take_shared(path)
        if path.exists():  # otherwise another run has just cleared it, before it was locked
            break
    copy = _Copy(path, lease)
    with path.open("wb") as file:
        if not objects.download(place, file):
            raise DocumentError(f"{place} does not exist. Check the key.")
    return copy


def _remove(path: Path, lease: FileLease) -> None:
    path.unlink(missing_ok=True)
    lease.release()
