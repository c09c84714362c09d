"""How many pages are open at once: rendered and waiting, in a slot, or being recorded."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import TracebackType


class AdmissionClosedError(Exception):
    """No place is given any more."""


class AdmissionLimiter:
    """At most `size` places, given in the order in which they were asked for; the size may change at any time.

    Growing admits those who wait; shrinking takes nobody's place, and admits nobody until enough were given back.

    Attributes:
        left: pages that will ask for a place and have none yet.
    """

    def __init__(self, size: int) -> None:
        self.left = 0
        self._size = size
        self._taken = 0
        self._closed = False
        self._waiting: deque[Future[None]] = deque()
        self._lock = threading.Lock()

    def resize(self, size: int) -> None:
        """Change how many places there are; from any thread."""
        with self._lock:
            self._size = size
            self._admit()

    def close(self) -> None:
        """Give no more places; those that are taken stay so. From any thread."""
        with self._lock:
            self._closed = True
            self._admit()

    @contextmanager
    def expecting(self, pages: int) -> Iterator[Callable[[], None]]:
        """So many pages will ask for a place; what is given is called when one has it. From one thread alone."""
        still = pages
        self.left += pages

        def begun() -> None:
            nonlocal still
            still, self.left = still - 1, self.left - 1

        try:
            yield begun
        finally:
            self.left -= still

    async def acquire(self) -> None:
        """Wait for a place and take it.

        Raises:
            AdmissionClosedError: none is given any more.
        """
        place: Future[None] = Future()
        with self._lock:
            self._waiting.append(place)
            self._admit()
        try:
            await asyncio.wrap_future(place)
        except asyncio.CancelledError:
            if not place.cancel():  # it was given just then
                self.release()
            raise

    def release(self) -> None:
        """Give a place back."""
        with self._lock:
            self._taken -= 1
            self._admit()

    async def __aenter__(self) -> None:
        """Wait for a place and take it."""
        await self.acquire()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self.release()

    def _admit(self) -> None:
        while self._waiting and self._closed:
            place = self._waiting.popleft()
            if place.set_running_or_notify_cancel():
                place.set_exception(AdmissionClosedError())
        while self._waiting and self._taken < self._size:
            place = self._waiting.popleft()
            if place.set_running_or_notify_cancel():
                self._taken += 1
                place.set_result(None)
