"""A directory of results on this machine."""

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
from tasks.core.file_locks import take_exclusive, try_exclusive, warn_of_foreign_holder
from tasks.core.private import check_access, create_file, make_directory, open_private

LOCK_POLL_SECONDS = 1.0
_POLLS_UNTIL_NAMED = 2
"""Failed attempts to take the lock after which its holder is named, if that is another user."""


class LocalFiles:
    """See `Files`. The system releases the lock when the run that holds it ends, in whatever way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def mkdir(self) -> None:
        """See `Files`.

        Raises:
            StorageError: it cannot be made.
        """
        with _writing(self.path):
            make_directory(self.path, ours=False)

    def prepare(self, folder: str) -> None:
        """See `Files`."""
        try:
            check_access(self.path)
            make_directory(self.path)
            make_directory(self.path / folder)
            with tempfile.TemporaryFile(dir=self.path / folder) as probe:
                probe.write(b"\0")
        except StorageError as error:
            raise OutputError(str(error)) from None
        except OSError as error:
            raise OutputError(
                f"The results cannot be written to {self.path}: {error.strerror}. "
                "Choose another directory with --output, or fix this one."
            ) from None

    @asynccontextmanager
    async def lock(self, waiting: Callable[[], None]) -> AsyncIterator[None]:
        """See `Files`. Removes what a killed run left half-written."""
        path = self.path / ".lock"
        polls = 0
        while (lock := try_exclusive(path)) is None:
            waiting()
            polls += 1
            if polls == _POLLS_UNTIL_NAMED:
                warn_of_foreign_holder(path)
            await asyncio.sleep(LOCK_POLL_SECONDS)
        with lock:
            for pattern in (".*.tmp", "*/.*.tmp"):
                for leftover in self.path.glob(pattern):
                    leftover.unlink(missing_ok=True)
            yield

    def names(self, folder: str = "") -> Iterator[str]:
        """See `Files`."""
        path = self.path / folder
        try:
            yield from (entry.name for entry in path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise _unreadable(path, error) from None

    def exists(self, name: str) -> bool:
        """See `Files`."""
        return (self.path / name).exists()

    def read(self, name: str) -> bytes | None:
        """See `Files`."""
        path = self.path / name
        try:
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(path, error) from None

    def read_many(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """See `Files`."""
        return map(self.read, names)

    @contextmanager
    def lines(self, name: str) -> Iterator[Iterator[str]]:
        """See `Files`."""
        path = self.path / name
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
        path = self.path / name
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
        try:
            with _writing(path):
                with create_file(temporary, "x") as file:
                    file.writelines(parts)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise

    def replace(self, name: str, text: str, keep: Callable[[bytes], bool]) -> None:
        """See `Files`. The system keeps the lock, so that nobody else has written meanwhile."""
        self.write(name, [text])

    def append(self, name: str, text: str) -> None:
        """See `Files`. The file is its own lock."""
        path = self.path / name
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        with _writing(path), take_exclusive(path), os.fdopen(open_private(path, flags), "ab+") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            cut_off = file.read(1) not in {b"", b"\n"}  # by a full disk or a kill: the new text begins a new line
            file.write((b"\n" if cut_off else b"") + text.encode())

    def rewrite(self, name: str, change: Callable[[bytes], bytes]) -> None:
        """See `Files`."""
        path = self.path / name
        if not path.exists():
            return
        with _writing(path), take_exclusive(path):
            before = path.read_bytes()
            after = change(before)
            if after != before:
                self.write(name, [after.decode(errors="replace")])


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        remedy = "Free space" if error.errno in {errno.ENOSPC, errno.EDQUOT} else "Fix the directory"
        raise StorageError(
            f"{path} cannot be written: {error.strerror}. {remedy} and run again; the pages stored so far are kept."
        ) from None


def _unreadable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be read: {error.strerror}. Choose another directory with --output, or fix this one."
    )
