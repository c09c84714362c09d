"""Run one of several equal batches at a time; those that come meanwhile are refused without waiting.

The lock is the storage's own: the system frees it when its holder ends in any way, and S3's expires. So a run that was
killed does not block the next one.
"""

import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tasks.core.paths import format_path
from tasks.storage.files import StoragePath, files_at, parse_path

FOLDER = ".one-at-a-time"
"""Below the results: a folder for each set of sources."""
_S3_SECONDS = 45.0
"""How long to wait for the lock in S3: longer than that of a killed run lasts; see `S3Lock`."""


class AlreadyReadError(Exception):
    """Another run is reading the same sources into the same results."""


@asynccontextmanager
async def one_at_a_time(sources: Sequence[str], output: StoragePath) -> AsyncIterator[None]:
    """Lock a batch's sources and output against other runs that use this lock.

    Raises:
        AlreadyReadError: another run holds the lock.
        OutputError: the results cannot be written to.
    """
    names = sorted({format_path(parse_path(source).absolute()) for source in sources})
    files = files_at(output / FOLDER / hashlib.sha256("\n".join(names).encode()).hexdigest()[:16])
    files.prepare("")
    until = time.monotonic() + (0.0 if isinstance(output, Path) else _S3_SECONDS)

    def waiting() -> None:
        if time.monotonic() >= until:
            raise AlreadyReadError

    async with files.lock(waiting):
        yield
