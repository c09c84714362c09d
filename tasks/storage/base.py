"""What a directory of results can do, wherever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Protocol

from tasks.core.paths import StoragePath


class Files(Protocol):
    """The files of one directory, by their names below it. Text is UTF-8.

    What reads raises OutputError, what writes StorageError; both say what to do.
    """

    @property
    def place(self) -> StoragePath:
        """The directory."""
        ...

    def make(self) -> None:
        """Have the directory there."""
        ...

    def prepare(self, folder: str) -> None:
        """Make the directory and a folder in it, and prove that both can be read and written.

        Raises:
            OutputError: they cannot.
        """
        ...

    def turn(self, waiting: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Have the directory for oneself; `waiting` is called now and then while another run has it."""
        ...

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        ...

    def read(self, name: str) -> bytes | None:
        """A file's content; None if there is none."""
        ...

    def read_each(self, names: Iterable[str]) -> Iterator[bytes | None]:
        """The content of each of many small files, in the order given, few of them in memory at a time."""
        ...

    def lines(self, name: str) -> AbstractContextManager[Iterator[str]]:
        """A file's lines, one in memory at a time.

        Raises:
            FileNotFoundError: there is no such file.
        """
        ...

    def write(self, name: str, parts: Iterable[str]) -> None:
        """Write a file, whole or not at all, one part in memory at a time."""
        ...

    def replace(self, name: str, text: str, stays: Callable[[bytes], bool]) -> None:
        """Write a small file, whole or not at all.

        Args:
            name: the file's.
            text: its content.
            stays: whether what another run has written meanwhile, in spite of our turn, is left as it is.
        """
        ...

    def append(self, name: str, text: str) -> None:
        """Add to a file, and make it if there is none."""
        ...

    def rewrite(self, name: str, change: Callable[[bytes], bytes]) -> None:
        """Write a file that others add to anew, if it is there and the change changes it; nothing added is lost."""
        ...
