"""Limits of parallel uploads and streams, of an upload's duration, and of the bytes on disk."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from fastapi import HTTPException
from fastapi.sse import EventSourceResponse
from starlette.types import Receive, Scope, Send

from flows.api.settings import ApiSettings
from tasks.core.errors import LimitError

SILENT_SECONDS = 30.0
_MEASURED_SECONDS = 30.0
_MEASURING_SHARE = 20
"""The pause between two measurements of the disk is at least this many times as long as a measurement."""
_RETRY = {"Retry-After": "10"}
_BLOCK = 512


class Limits:
    """The limits of one backend.

    Attributes:
        open: number of uploads and of streams that are open.
        incoming: bytes that open uploads have received.
        stored: bytes on disk, when they were measured last, and of documents that were kept since.
    """

    def __init__(self, api: ApiSettings) -> None:
        self._api = api
        self.open: Counter[str] = Counter()
        self.stored = 0
        self.incoming = 0
        # Documents are opened in threads of a pool that all other requests need, too.
        self.opening = asyncio.Semaphore(max(1, min(4, os.cpu_count() or 1)))

    async def keep_measuring(self) -> None:
        """Measure the bytes on disk periodically."""
        while True:
            seconds = await self.measure()
            await asyncio.sleep(max(_MEASURED_SECONDS, _MEASURING_SHARE * seconds))

    def upload(self) -> AbstractContextManager[None]:
        """Count an upload."""
        most = self._api.uploads
        return self._count(
            "uploads", most, f"{most} documents are being uploaded, the limit (API_UPLOADS). Send it again later."
        )

    def stream(self) -> AbstractContextManager[None]:
        """Count a stream."""
        most = self._api.connections // 2
        return self._count(
            "streams", most, f"{most} streams are open, the limit (half of API_CONNECTIONS). Try again later."
        )

    @contextmanager
    def _count(self, what: str, most: int, detail: str) -> Iterator[None]:
        """Count what is open; raise HTTPException 429 if that would be more than `most`."""
        if self.open[what] >= most:
            raise HTTPException(429, detail, _RETRY)
        self.open[what] += 1
        try:
            yield
        finally:
            self.open[what] -= 1

    async def body(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Yield the body of a request.

        Raises:
            HTTPException: 408, it does not arrive in time.
            LimitError: there is no room for it.
        """
        deadline = time.monotonic() + self._api.upload_seconds
        received = 0
        try:
            while True:
                try:
                    async with asyncio.timeout(min(SILENT_SECONDS, deadline - time.monotonic())):
                        chunk = await anext(chunks, None)
                except TimeoutError:
                    raise HTTPException(408, self._late_message(deadline)) from None
                if chunk is None:
                    return
                received += len(chunk)
                self.incoming += len(chunk)
                self._check_room()
                yield chunk
        finally:
            self.incoming -= received

    def _late_message(self, deadline: float) -> str:
        if time.monotonic() < deadline:
            return f"No data arrived for {SILENT_SECONDS:g} s. Send the document again."
        return f"The document did not arrive within {self._api.upload_seconds:g} s (API_UPLOAD_SECONDS). Send it again."

    def _check_room(self) -> None:
        if self.stored + self.incoming > self._api.disk_gb * 1e9:
            raise LimitError(
                f"There is no room for the document: the backend stores {self.stored / 1e9:.3g} GB of at most "
                f"{self._api.disk_gb:g} GB (API_DISK_GB). Delete runs that nobody needs."
            )

    async def measure(self) -> float:
        """Measure the bytes on disk, and return how long that took, in seconds."""
        began = time.monotonic()
        self.stored = await asyncio.to_thread(_bytes_below, self._api.directory)
        return time.monotonic() - began


class LimitedStream(EventSourceResponse):
    """A stream of server-sent events that counts towards the limit of streams."""

    def __init__(self, limits: Limits, content: AsyncIterator[bytes], headers: dict[str, str]) -> None:
        super().__init__(content, headers=headers)
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        with self._limits.stream():
            await super().__call__(scope, receive, send)


def _bytes_below(directory: Path) -> int:
    """Return the bytes that a directory takes on disk, without files that are being written or removed."""
    total = 0
    linked: set[tuple[int, int]] = set()  # files with several names
    for folder, _, names in os.walk(directory):
        for name in names:
            if not (name.startswith(".") and name.endswith(".tmp")):
                try:
                    stat = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - fast, for many files
                except OSError:
                    continue
                if stat.st_nlink > 1:
                    if (stat.st_dev, stat.st_ino) in linked:
                        continue
                    linked.add((stat.st_dev, stat.st_ino))
                total += stat.st_blocks * _BLOCK
    return total
