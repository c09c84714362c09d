"""A limit on concurrent inferences, in order of arrival."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Slots:
    """A first-come, first-served limit on calls that run in threads."""

    def __init__(self, count: int) -> None:
        self.count = count
        # Fair since Python 3.11: a newcomer never overtakes a waiter, and a cancelled waiter leaves the queue.
        self._free = asyncio.Semaphore(count)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="slot")

    async def run(self, call: Callable[[], T], done: Callable[[], None]) -> T:
        """Wait for a slot, then run `call` in a thread.

        A caller that is cancelled while it waits leaves the queue. One that is cancelled later returns at
        once, while the slot stays taken until the call, which cannot be interrupted, ends.

        Args:
            call: The inference.
            done: Called on the event loop when the caller no longer needs the model: after the call
                has ended, or after a cancelled wait.
        """
        try:
            await self._free.acquire()
        except asyncio.CancelledError:
            done()
            raise

        def finish(ended: asyncio.Future[T]) -> None:
            self._free.release()
            done()
            if not ended.cancelled():
                ended.exception()  # Marks it as seen: the caller may be gone.

        future = asyncio.get_running_loop().run_in_executor(self._pool, call)
        future.add_done_callback(finish)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Accept no more calls, without waiting for those that run."""
        self._pool.shutdown(wait=False, cancel_futures=True)
