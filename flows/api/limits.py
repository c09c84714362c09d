"""Limits of requests: parallel uploads and streams, the time of an upload, and bytes on disk."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from fastapi import HTTPException
from fastapi.sse import EventSourceResponse
from starlette.types import Receive, Scope, Send

from flows.api.settings import ApiSettings
from tasks.core.aio import cancel_and_wait
from tasks.core.errors import LimitError

SILENT_SECONDS = 30.0
_MEASURED_SECONDS = 30.0
_MEASURING_SHARE = 20
"""The disk is measured again after at least this many times the duration of a measurement."""
_RETRY = {"Retry-After": "10"}
_BLOCK = 512


class Limits:
    """The limits of one backend.

    Attributes:
        uploads: documents that are being uploaded.
        incoming: bytes of them so far.
        stored: bytes on disk.
    """

    def __init__(self, api: ApiSettings) -> None:
        self._api = api
        self.uploads = 0
        self._streams = 0
        self.stored = 0
        self.incoming = 0
        # Opening documents takes threads of the pool that serves all other requests, too.
        self.opening = asyncio.Semaphore(max(1, min(4, os.cpu_count() or 1)))

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[None]:
        """Measure what is on disk, now and again."""
        seconds = await self.measure()
        measuring = asyncio.create_task(self._keep_measuring(seconds))
        try:
            yield
        finally:
            await cancel_and_wait(measuring)

    @contextmanager
    def upload(self) -> Iterator[None]:
        """Count an upload.

        Raises:
            HTTPException: 429, too many documents are being uploaded.
        """
        if self.uploads >= self._api.uploads:
            detail = f"{self.uploads} documents are being uploaded, the limit (API_UPLOADS). Send it again later."
            raise HTTPException(429, detail, _RETRY)
        self.uploads += 1
        try:
            yield
        finally:
            self.uploads -= 1

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count a stream.

        Raises:
            HTTPException: 429, there are too many streams.
        """
        most = self._api.connections // 2
        if self._streams >= most:
            detail = f"{most} streams are open, the limit (half of API_CONNECTIONS). Try again later."
            raise HTTPException(429, detail, _RETRY)
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

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

    def add_stored(self, size: int) -> None:
        """Count a document that was kept, until the next measurement."""
        self.stored += size

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

    async def _keep_measuring(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(max(_MEASURED_SECONDS, _MEASURING_SHARE * seconds))
            seconds = await self.measure()

    async def measure(self) -> float:
        """Measure what is on disk, and return how long that took, in seconds."""
        began = time.monotonic()
        self.stored = await asyncio.to_thread(_bytes_below, self._api.directory)
        return time.monotonic() - began


class LimitedStream(EventSourceResponse):
    """A stream of server-sent events that counts towards the limit of streams."""

    def __init__(self, limits: Limits, content: AsyncIterator[bytes], headers: dict[str, str]) -> None:
        super().__init__(content, headers=headers)
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events.

        Raises:
            HTTPException: 429, there are too many streams.
        """
        with self._limits.stream():
            await super().__call__(scope, receive, send)


def _bytes_below(directory: Path) -> int:
    """Return the bytes that a directory takes on disk, without files that are being written or removed."""
    total = 0
    linked: set[tuple[int, int]] = set()  # documents may have several names
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
