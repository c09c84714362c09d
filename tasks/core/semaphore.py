"""A semaphore for coroutines of several threads, whose size may change."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future


class SharedSemaphore:
    """Lets `size` holders in at once, first come, first served, from any thread and event loop.

    Growing lets in those that wait. Shrinking lets none in until enough have left.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = 0
        self._error: Callable[[], Exception] | None = None
        self._waiting: deque[Future[None]] = deque()
        self._lock = threading.Lock()

    async def acquire(self) -> None:
        """Wait until there is a place, and take it. Raises the error that `refuse` was given."""
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
        """Give a place back."""
        with self._lock:
            self._held -= 1
            self._admit()

    def resize(self, size: int) -> None:
        """Change how many places there are."""
        with self._lock:
            self._size = size
            self._admit()

    def refuse(self, error: Callable[[], Exception]) -> None:
        """Let nobody in any more, and raise such an error for all who wait or come; holders keep their places."""
        with self._lock:
            self._error = error
            self._admit()

    def _admit(self) -> None:
        while self._waiting and (self._error or self._held < self._size):
            admitted = self._waiting.popleft()
            if not admitted.set_running_or_notify_cancel():
                continue
            if self._error:
                admitted.set_exception(self._error())
            else:
                self._held += 1
                admitted.set_result(None)
