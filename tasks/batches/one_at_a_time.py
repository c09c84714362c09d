"""One of several alike batches at a time: those that come meanwhile are told so, and need not wait.

The lock is the storage's own: the system takes it back when its holder ends, in whatever way, and S3's ends by itself.
So nothing that a killed run left keeps the next one from its work.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tasks.core.paths import format_path
from tasks.storage.files import StoragePath, files_at, parse_path

FOLDER = ".one-at-a-time"
"""Below the results: a folder for each choice of sources."""
# Longer than S3 takes to forget a run that was killed; see `S3Lock`.
_S3_PATIENCE_SECONDS = 45.0


class AlreadyReadError(Exception):
    """Another run reads the same sources into the same results."""


@asynccontextmanager
async def one_at_a_time(sources: Sequence[str], output: StoragePath) -> AsyncIterator[None]:
    """Have a batch's sources for oneself, as far as others ask for that, too.

    Args:
        sources: what the batch reads.
        output: where its results go.

    Raises:
        AlreadyReadError: another run has them.
        OutputError: the results cannot be written to.
    """
    names = sorted({format_path(parse_path(source).absolute()) for source in sources})
    files = files_at(output / FOLDER / hashlib.sha256("\n".join(names).encode()).hexdigest()[:16])
    files.prepare("")
    patience = 0.0 if isinstance(output, Path) else _S3_PATIENCE_SECONDS
    until = time.monotonic() + patience

    def waiting() -> None:
        if time.monotonic() >= until:
            raise AlreadyReadError

    async with files.lock(waiting):
        yield
