"""Documents with the same bytes under several names are read once, and found under each name."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from tasks.storage.files import StoragePath, files_at

_FOLDER = ".by-content"
_NAMES = "directories.txt"


class SameContent:
    """The directories below one output that hold results of the same bytes, by one of them: see `results_directory`."""

    def __init__(self, directory: StoragePath) -> None:
        self._directory = directory
        self._digits = directory.name.rpartition("-")[2]
        self._files = files_at(directory.parent / _FOLDER / self._digits)

    def prepare(self) -> None:
        """Make what `lock` needs.

        Raises:
            OutputError: it cannot be made, read or written.
        """
        self._files.prepare("")

    @asynccontextmanager
    async def lock(self, waiting: Callable[[], None]) -> AsyncIterator[None]:
        """Lock the content under all its names; wait while another run reads it."""
        async with self._files.lock(waiting):
            if self._directory.name not in self._noted():
                self._files.append(_NAMES, f"{self._directory.name}\n")
            yield

    def others(self) -> Iterator[StoragePath]:
        """Yield the directories of the other names; on this machine those of earlier versions, too."""
        names = dict.fromkeys(self._noted())
        output = self._directory.parent
        if isinstance(output, Path):
            names |= dict.fromkeys(sorted(path.name for path in output.glob(f"*-{self._digits}")))
        return (output / name for name in names if name != self._directory.name)

    def _noted(self) -> list[str]:
        lines = (self._files.read(_NAMES) or b"").decode(errors="replace").splitlines()
        return [line for line in lines if line.endswith(f"-{self._digits}") and "/" not in line]
