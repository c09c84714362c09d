"""What asyncio lacks: an event loop in a thread of its own, and tasks that are ended for certain."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

_THREADS_SECONDS = 5.0
_AGAIN_SECONDS = 5.0
_LOOK_SECONDS = 0.1


class WorkLoop:
    """Run an event loop in a thread of its own, apart from the one on which Prefect keeps its books.

    Prefect spends about 8 ms of this process's time on a task run. On one loop with the requests that time passes
    between one page's end and the next one's start: 400 pages of 0.2 s over 8 slots took 1.18 times the ideal. With a
    loop of their own for the requests it was 1.02 (docs/architecture/performance.md).

    Use as an async context manager.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._calls = ThreadPoolExecutor(thread_name_prefix="hearth-call")
        self._loop.set_default_executor(self._calls)
        self._thread = threading.Thread(target=self._loop.run_forever, name="hearth-work", daemon=True)

    async def __aenter__(self) -> Self:
        """Start it."""
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, when every call has ended; those that were cancelled are given the time that they need for it.

        A thread cannot be cancelled: one that waits for AWS, say, is left to itself after five seconds. The
        process waits for it when it ends; a command does so for ten seconds.
        """
        await self.run(self._wound_up)
        ending = threading.Thread(target=self._calls.shutdown, daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, _THREADS_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call there and wait for it here; cancelling the wait cancels the call."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_made(call), self._loop))

    async def _wound_up(self) -> None:
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
        await self._loop.shutdown_asyncgens()

    @asynccontextmanager
    async def opened(self, manager: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        """Enter and leave a context manager there, for what is used there."""
        entered = await self.run(manager.__aenter__)
        try:
            yield entered
        finally:
            await self.run(lambda: manager.__aexit__(None, None, None))


async def _made(call: Callable[[], Awaitable[T]]) -> T:
    return await call()


async def cancel_and_wait(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, once, and wait until they have ended, however often the wait itself is cancelled.

    When a signal ends a worker's run, all its tasks are cancelled at once, and then each by whoever waits for it: a
    second time, in the middle of giving back what it holds. One that a time-out of its own is just cancelling would
    catch that, and go on: it is looked after again.
    """
    again: asyncio.CancelledError | None = None
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            if not task.cancelling():
                task.cancel()
        try:
            await asyncio.wait(left, timeout=_LOOK_SECONDS)
        except asyncio.CancelledError as error:
            again = error
    if again is not None:
        raise again


async def repeat_every(seconds: float, act: Callable[[], Awaitable[object]], done: threading.Event) -> None:
    """Do something every so many seconds until it is done with, whatever goes wrong: so that a lease is kept.

    AWS out of reach is no reason to stop reading: the machine may well go on.
    """
    pause = seconds
    while not await asyncio.to_thread(done.wait, pause):
        pause = seconds
        try:
            await act()
        except Exception:  # noqa: BLE001 - whatever it is: the run goes on, and so must its lease
            pause = min(seconds, _AGAIN_SECONDS)
