"""How many pages are open at once: rendered and waiting, in a slot, or being recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tasks.core.semaphore import SharedSemaphore


class AdmissionClosedError(Exception):
    """No more pages are admitted."""


class AdmissionLimiter(SharedSemaphore):
    """Admits at most `size` pages at once, one document after the other; the size may change at any time.

    Growing admits pages that wait. Shrinking admits none until enough open pages have ended.

    Attributes:
        left: pages of the documents in `admission` that have not been admitted yet.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.left = 0
        self._documents = asyncio.Lock()

    def close(self) -> None:
        """Admit no more pages: AdmissionClosedError for all that wait; those that are open stay so. From any thread."""
        self.refuse(AdmissionClosedError)

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


class Admission:
    """The admission of one document's pages; see `AdmissionLimiter.admission`."""

    def __init__(self, limiter: AdmissionLimiter, pages: int, *ended: Callable[[], None]) -> None:
        self._limiter = limiter
        self._pages = pages
        self._ended = ended
        self._stopped = False
        self.release = limiter.release
        limiter.left += pages

    async def acquire(self) -> None:
        """Wait until the next page may be opened; `release` ends it.

        Raises:
            AdmissionClosedError: no more pages are admitted.
        """
        await self._limiter.acquire()
        if self._stopped:
            self.release()
            raise AdmissionClosedError
        self._pages -= 1
        self._limiter.left -= 1

    def stop(self) -> None:
        """Refuse all further pages of this document: AdmissionClosedError, also for one that waits."""
        self._stopped = True

    def end(self) -> None:
        """Admit no more pages of this document: the next document's are admitted while these are read."""
        self._limiter.left -= self._pages
        self._pages = 0
        ended, self._ended = self._ended, ()
        for call in ended:
            call()
