"""How many pages are open at once: rendered and waiting, in a slot, or being recorded."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager


class AdmissionClosedError(Exception):
    """No more pages are admitted."""


class AdmissionLimiter:
    """Admits at most `size` pages at once, one document after the other; the size may change at any time.

    Growing admits pages that wait. Shrinking admits none until enough open pages have ended.

    Attributes:
        left: pages of the documents in `admission` that have not been admitted yet.
    """

    def __init__(self, size: int) -> None:
        self.left = 0
        self._size = size
        self._open = 0
        self._closed = False
        self._waiting: deque[Future[None]] = deque()
        self._lock = threading.Lock()
        self._documents = asyncio.Lock()

    def resize(self, size: int) -> None:
        """Change how many pages may be open; from any thread."""
        with self._lock:
            self._size = size
            self._admit()

    def close(self) -> None:
        """Admit no more pages; those that are open stay so. From any thread."""
        with self._lock:
            self._closed = True
            self._admit()

    @asynccontextmanager
    async def admission(self, pages: int, all_admitted: Callable[[], None] = lambda: None) -> AsyncIterator[Admission]:
        """Wait until no other document admits pages, then admit those of one document. On one event loop alone.

        At most so many pages are admitted. `all_admitted` is called once, when the document admits no more.
        """
        await self._documents.acquire()
        admission = Admission(self, pages, self._documents.release, all_admitted)
        try:
            yield admission
        finally:
            admission.end()

    async def acquire(self) -> None:
        """Wait until a page may be opened, and count it as open.

        Raises:
            AdmissionClosedError: no more pages are admitted.
        """
        admitted: Future[None] = Future()
        with self._lock:
            self._waiting.append(admitted)
            self._admit()
        try:
            await asyncio.wrap_future(admitted)
        except asyncio.CancelledError:
            if not admitted.cancel():  # it was admitted at that moment
                self.release()
            raise

    def release(self) -> None:
        """Count a page as ended."""
        with self._lock:
            self._open -= 1
            self._admit()

    def _admit(self) -> None:
        while self._waiting and (self._closed or self._open < self._size):
            admitted = self._waiting.popleft()
            if not admitted.set_running_or_notify_cancel():
                continue
            if self._closed:
                admitted.set_exception(AdmissionClosedError())
            else:
                self._open += 1
                admitted.set_result(None)


class Admission:
    """The admission of one document's pages; see `AdmissionLimiter.admission`."""

    def __init__(self, limiter: AdmissionLimiter, pages: int, *ended: Callable[[], None]) -> None:
        self._limiter = limiter
        self._pages = pages
        self._ended = ended
        self.release = limiter.release
        limiter.left += pages

    async def acquire(self) -> None:
        """Wait until the next page may be opened; `release` ends it.

        Raises:
            AdmissionClosedError: no more pages are admitted.
        """
        await self._limiter.acquire()
        self._pages -= 1
        self._limiter.left -= 1

    def end(self) -> None:
        """Admit no more pages of this document: the next document's are admitted while these are read."""
        self._limiter.left -= self._pages
        self._pages = 0
        ended, self._ended = self._ended, ()
        for call in ended:
            call()
