"""A directory of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tasks.core.errors import OutputError, StorageError
from tasks.core.private import check_access, create_file, make_directory, open_private
from tasks.storage.file_locks import name_stranger, take_exclusive, try_exclusive

_TURN_POLL_SECONDS = 1.0
_NAMED_AFTER = 2
"""So often a lock is found held before its holder is named, if that is another user."""


class Directory:
    """See `Files`. A turn is a lock that the system takes back when its run ends, in whatever way."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def make(self) -> None:
        """See `Files`.

        Raises:
            StorageError: it cannot be made.
        """
        with _told(self.place):
            make_directory(self.place, ours=False)

    def prepare(self, folder: str) -> None:
        """See `Files`."""
        try:
            check_access(self.place)
            make_directory(self.place)
            make_directory(self.place / folder)
            with tempfile.TemporaryFile(dir=self.place / folder) as probe:
                probe.write(b"\0")
        except StorageError as error:
            raise OutputError(str(error)) from None
        except OSError as error:
            raise OutputError(
                f"The results cannot be written to {self.place}: {error.strerror}. "
                "Choose another directory with --output, or mend this one."
            ) from None

    @asynccontextmanager
    async def turn(self, waiting: Callable[[], None]) -> AsyncIterator[None]:
        """See `Files`. What a killed run left half-written is cleared."""
        lock = self.place / ".lock"
        waited = 0
        while (lease := try_exclusive(lock)) is None:
            waiting()
            waited += 1
            if waited == _NAMED_AFTER:
                name_stranger(lock)
            await asyncio.sleep(_TURN_POLL_SECONDS)
        try:
            for pattern in (".*.tmp", "*/.*.tmp"):
                for leftover in self.place.glob(pattern):
                    leftover.unlink(missing_ok=True)
            yield
        finally:
            lease.release()

    def has(self, name: str) -> bool:
        """See `Files`."""
        return (self.place / name).exists()

    def read(self, name: str) -> bytes | None:
        """See `Files`."""
        path = self.place / name
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(path, error) from None

    def read_each(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """See `Files`."""
        return map(self.read, names)

    @contextmanager
    def lines(self, name: str) -> Iterator[Iterator[str]]:
        """See `Files`."""
        path = self.place / name
        try:
            with path.open(encoding="utf-8") as lines:
                yield lines
        except NotADirectoryError as error:
            raise FileNotFoundError(*error.args) from None
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _unreadable(path, error) from None

    def write(self, name: str, parts: Iterable[str]) -> None:
        """See `Files`."""
        path = self.place / name
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
        try:
            with _told(path):
                with create_file(temporary, "x") as file:
                    file.writelines(parts)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    def replace(self, name: str, text: str, stays: Callable[[bytes], bool]) -> None:
        """See `Files`. Nobody else writes during a turn: the system keeps its lock."""
        self.write(name, [text])

    def append(self, name: str, text: str) -> None:
        """See `Files`."""
        path = self.place / name
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        with _told(path), _alone(path), os.fdopen(open_private(path, flags), "ab+") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            cut_off = file.read(1) not in {b"", b"\n"}  # by a full disk or a kill: what comes is a line of its own
            file.write((b"\n" if cut_off else b"") + text.encode())

    def rewrite(self, name: str, change: Callable[[bytes], bytes]) -> None:
        """See `Files`."""
        path = self.place / name
        if not path.exists():
            return
        with _told(path), _alone(path):
            before = path.read_bytes()
            after = change(before)
            if after != before:
                self.write(name, [after.decode(errors="replace")])


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Have a file that several processes write to for oneself; it is its own lock."""
    lease = take_exclusive(path)
    try:
        yield
    finally:
        lease.release()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = "Make room" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "Mend the directory"
        raise StorageError(
            f"{path} cannot be written: {error.strerror}. {remedy} and run again; the pages stored so far stand."
        ) from None


def _unreadable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be read: {error.strerror}. Choose another directory with --output, or mend this one."
    )
