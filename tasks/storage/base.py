"""What a directory of results can do, on this machine or in S3."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol

from tasks.core.paths import StoragePath


class Files(Protocol):
    """The files of one directory, by their names below it. Text is UTF-8.

    Methods that read raise OutputError, those that write StorageError; both messages name the next step.
    """

    @property
    def path(self) -> StoragePath:
        """The directory."""
        ...

    def mkdir(self) -> None:
        """Make the directory unless it exists."""
        ...

    def prepare(self, folder: str) -> None:
        """Make the directory and a folder in it, and prove that both can be read and written.

        Raises:
            OutputError: they cannot.
        """
        ...

    def lock(self, waiting: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Lock the directory against other runs; `waiting` is called repeatedly while another run holds the lock."""
        ...

    def names(self, folder: str = "") -> Iterator[str]:
        """Yield the names of what lies directly in the directory or a folder of it; none if it does not exist."""
        ...

    def exists(self, name: str) -> bool:
        """Return whether a file exists."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return a file's content; None if there is no such file."""
        ...

    def read_many(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """Yield the contents of many small files in the order of `names`, few of them in memory at a time."""
        ...

    def lines(self, name: str) -> AbstractContextManager[Iterator[str]]:
        """Open a file and yield its lines, one in memory at a time.

        Raises:
            FileNotFoundError: there is no such file.
        """
        ...

    def write(self, name: str, parts: Iterable[str]) -> None:
        """Write a file, whole or not at all, one part in memory at a time."""
        ...

    def replace(self, name: str, text: str, keep: Callable[[bytes], bool]) -> None:
        """Write a small file, whole or not at all.

        `keep` decides whether to leave content that another run wrote meanwhile, although this run held the lock.
        """
        ...

    def append(self, name: str, text: str) -> None:
        """Add text to a file, and create the file if there is none."""
        ...

    def rewrite(self, name: str, change: Callable[[bytes], bytes]) -> None:
        """Change a file to which others append, if it exists, without losing what they append."""
        ...
