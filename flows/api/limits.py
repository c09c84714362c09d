"""What is bounded of a request while it is received: uploads and streams at once, time, and bytes on disk."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from flows.api.settings import ApiSettings
from tasks.core.aio import cancel_and_wait
from tasks.core.errors import LimitError

_SILENT_SECONDS = 30.0
_MEASURED_SECONDS = 30.0
_MEASURING_SHARE = 20
"""It is measured again after so many times what measuring took, at the soonest."""
_RETRY = {"Retry-After": "10"}
_BLOCK = 512


class Limits:
    """The limits of one backend.

    Args:
        api: what they are.
    """

    def __init__(self, api: ApiSettings) -> None:
        self._api = api
        self._uploads = 0
        self._streams = 0
        self._stored = 0
        self._coming = 0
        # Opening documents takes threads; those that look after all other requests are not among these.
        self.opening = asyncio.Semaphore(max(1, min(4, os.cpu_count() or 1)))

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[None]:
        """Know what is on disk."""
        seconds = await self._measure()
        measuring = asyncio.create_task(self._keep_measuring(seconds))
        try:
            yield
        finally:
            await cancel_and_wait(measuring)

    @contextmanager
    def upload(self) -> Iterator[None]:
        """Receive a document.

        Raises:
            HTTPException: too many others are being received.
        """
        if self._uploads >= self._api.uploads:
            told = f"{self._uploads} documents are being uploaded, the limit (API_UPLOADS). Send it again later."
            raise HTTPException(429, told, _RETRY)
        self._uploads += 1
        try:
            yield
        finally:
            self._uploads -= 1

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Follow a run.

        Raises:
            HTTPException: too many others do.
        """
        most = self._api.connections // 2
        if self._streams >= most:
            told = f"{most} streams are followed, half of API_CONNECTIONS and the limit. Come back later."
            raise HTTPException(429, told, _RETRY)
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    async def body(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The body of a request, as long as it comes in time and there is room for it.

        Raises:
            HTTPException: it does not.
            LimitError: there is none.
        """
        deadline = time.monotonic() + self._api.upload_seconds
        received = 0
        try:
            while True:
                try:
                    async with asyncio.timeout(min(_SILENT_SECONDS, deadline - time.monotonic())):
                        chunk = await anext(chunks, None)
                except TimeoutError:
                    raise HTTPException(408, self._told_late(deadline)) from None
                if chunk is None:
                    return
                received += len(chunk)
                self._coming += len(chunk)
                self._see_room()
                yield chunk
        finally:
            self._coming -= received

    def kept(self, size: int) -> None:
        """Count what was kept until all is measured again."""
        self._stored += size

    def _told_late(self, deadline: float) -> str:
        if time.monotonic() < deadline:
            return f"Nothing of the document came for {_SILENT_SECONDS:g} s. Send it again."
        return f"The document did not come within {self._api.upload_seconds:g} s (API_UPLOAD_SECONDS). Send it again."

    def _see_room(self) -> None:
        if self._stored + self._coming > self._api.disk_gb * 1e9:
            raise LimitError(
                f"The backend keeps {self._stored / 1e9:.3g} GB of the {self._api.disk_gb:g} GB that it may "
                "(API_DISK_GB): there is no room for the document. Have results removed that nobody needs."
            )

    async def _keep_measuring(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(max(_MEASURED_SECONDS, _MEASURING_SHARE * seconds))
            seconds = await self._measure()

    async def _measure(self) -> float:
        began = time.monotonic()
        self._stored = await asyncio.to_thread(_bytes_below, self._api.directory)
        return time.monotonic() - began


class LimitedStream(StreamingResponse):
    """A response that is a stream, one of so many at once.

    Args:
        limits: how many.
        content: of the stream.
        named: see `StreamingResponse`.
    """

    def __init__(self, limits: Limits, content: AsyncIterator[str], **named: Any) -> None:  # noqa: ANN401 - its
        super().__init__(content, **named)
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it.

        Raises:
            HTTPException: there are too many.
        """
        with self._limits.stream():
            await super().__call__(scope, receive, send)


def _bytes_below(directory: Path) -> int:
    """What its files take on disk; a file that is being written, or has gone meanwhile, does not count."""
    total = 0
    linked: set[tuple[int, int]] = set()  # documents have several names
    for folder, _, names in os.walk(directory):
        for name in names:
            if not (name.startswith(".") and name.endswith(".tmp")):
                try:
                    found = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - of many files
                except OSError:
                    continue
                if found.st_nlink > 1:
                    if (found.st_dev, found.st_ino) in linked:
                        continue
                    linked.add((found.st_dev, found.st_ino))
                total += found.st_blocks * _BLOCK
    return total
