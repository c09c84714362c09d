"""Pages in a row that one task run carries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from flows.ui.artifacts import PageTable
from tasks.core.events import Event, PageStarted, subscribe
from tasks.reading.events import PageDone
from tasks.results.page import PageStatus

Read = Callable[[int], Coroutine[Any, Any, None]]


class Block:
    """Pages in a row, each begun when it may be. Its task run begins when the first of them has a slot.

    So the task runs' times are those in which pages were read, and no slot waits for Prefect to note that.

    Attributes:
        numbers: of the pages.
        table: the pages, as they are shown at the task run; None where the run's own table has them.
        log: where it is told that a page is read again, or failed; the task run's as soon as there is one.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = numbers
        self.table: PageTable | None = None
        self.log = get_run_logger()
        self._loop = asyncio.get_running_loop()
        self._pages: list[asyncio.Task[None]] = []
        self._left = len(numbers)
        self._at_work = asyncio.Event()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._failures: list[str] = []

    def begin(self, number: int, read: Read, done: Callable[[], None]) -> None:
        """Begin a page; `done` is called when it has ended, however it does."""
        with subscribe(self._hear):
            page = asyncio.create_task(read(number))
        self._pages.append(page)
        page.add_done_callback(lambda _: done())
        page.add_done_callback(self._page_ended)

    def close(self) -> None:
        """Begin no more pages of it."""
        self._left -= len(self.numbers) - len(self._pages)
        self._settle()

    async def at_work(self) -> None:
        """Wait until a page of it has a slot, or has ended without."""
        await self._at_work.wait()

    async def ended(self) -> None:
        """Wait until all its pages have ended.

        Raises:
            HearthError: what ends the run, as soon as a page meets it.
        """
        await asyncio.shield(self._end)

    def cut_off(self) -> None:
        """Cut off the pages that have not ended."""
        for page in self._pages:
            if not page.done() and not page.cancelling():
                page.cancel()

    def state(self) -> State[None]:
        """How its task run ends, by the pages that have ended."""
        pages, failed = len(self._pages), len(self._failures)
        told = self._failures[0] if pages == failed == 1 else f"{pages} pages, {failed} failed"
        if failed and failed == pages:
            return Failed(message=told)
        if len(self.numbers) == 1:
            return Completed()
        return Completed(name="Partial" if failed else None, message=told)

    def __str__(self) -> str:
        first, last, count = self.numbers[0], self.numbers[-1], len(self.numbers)
        told = f"page {first}" if count == 1 else f"pages {first}-{last}"
        return told if last - first < count else f"{told}, {count} of them"

    def _hear(self, event: Event) -> None:
        """Take note of an event of its pages; on the thread of the slots."""
        if isinstance(event, PageStarted):
            self._loop.call_soon_threadsafe(self._at_work.set)
        elif isinstance(event, PageDone):
            if event.result.status is PageStatus.FAILED:
                self._failures.append(event.result.detail or "")
            if self.table is not None:
                self.table(event)

    def _page_ended(self, page: asyncio.Task[None]) -> None:
        self._at_work.set()
        self._left -= 1
        error = None if page.cancelled() else page.exception()
        if self._end.done():
            return
        if page.cancelled():
            self._end.cancel()
        elif error is None:
            self._settle()
        else:
            self._end.set_exception(error)
            self._end.exception()  # asyncio complains of one that nobody waits for, as when the run ends for another

    def _settle(self) -> None:
        if not self._left and not self._end.done():
            self._end.set_result(None)
