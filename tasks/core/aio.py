"""Additions to asyncio: an event loop in its own thread, certain cancellation, and periodic work."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self, TypeVar

T = TypeVar("T")

THREADS_SECONDS = 5.0
_RETRY_SECONDS = 5.0
_POLL_SECONDS = 0.1


class WorkLoop:
    """An event loop in its own thread, apart from the loop on which Prefect does its bookkeeping.

    Prefect spends about 8 ms of this process's time on a task run. If requests share its loop, that time passes
    between the end of one page and the start of the next: 400 pages of 0.2 s on 8 slots took 1.18 times the ideal
    time, and 1.02 with a loop for the requests alone (docs/architecture/performance.md).

    Use as an async context manager.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._calls = ThreadPoolExecutor(thread_name_prefix="hearth-call")
        self._loop.set_default_executor(self._calls)
        self._thread = threading.Thread(target=self._loop.run_forever, name="hearth-work", daemon=True)

    async def __aenter__(self) -> Self:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the loop after all its calls have ended, cancelled ones included.

        A thread cannot be cancelled: one that waits for AWS, for example, is abandoned after five seconds. The
        process waits for it when it ends; a command does so for ten seconds.
        """
        await self.run(self._finish)
        ending = threading.Thread(target=self._calls.shutdown, daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, THREADS_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call on the loop and return its result. Cancelling the wait cancels the call."""

        async def made() -> T:
            return await call()

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(made(), self._loop))

    async def _finish(self) -> None:
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
        await self._loop.shutdown_asyncgens()

    @asynccontextmanager
    async def opened(self, manager: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        """Enter and leave a context manager on the loop."""
        entered = await self.run(manager.__aenter__)
        try:
            yield entered
        finally:
            await self.run(lambda: manager.__aexit__(None, None, None))


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks once, and wait until they have ended, however often the wait itself is cancelled.

    When a signal ends a worker's run, all its tasks are cancelled, and then a second time by their waiters, while
    they release what they hold. A task that is just being cancelled by its own timeout would catch the cancellation and
    go on, so every task is checked again.
    """
    cancelled: asyncio.CancelledError | None = None
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            if not task.cancelling():
                task.cancel()
        try:
            await asyncio.wait(left, timeout=_POLL_SECONDS)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a coroutine as a task until the end of the block, which cancels it and waits until it has ended."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await cancel_and_wait(task)


async def repeat_every(seconds: float, act: Callable[[], Awaitable[object]], done: threading.Event) -> None:
    """Repeat an action, such as the renewal of a lease, until `done` is set; errors only shorten the pause.

    An unreachable AWS is no reason to stop reading: the machine may well go on.
    """
    pause = seconds
    while not await asyncio.to_thread(done.wait, pause):
        pause = seconds
        try:
            await act()
        except Exception:  # noqa: BLE001 - whatever it is: the run goes on, and so must its lease
            pause = min(seconds, _RETRY_SECONDS)
