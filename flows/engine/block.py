"""Consecutive pages that one task run reads."""

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


class Block:
    """Consecutive pages, each begun when it is admitted. The task run begins when the first of them has a slot.

    So a task run lasts as long as its pages are read, and no slot waits for Prefect to record that.

    Attributes:
        numbers: the pages' numbers.
        table: the pages as the task run shows them; None if the run's own table has them.
        log: for pages that are read again, or fail; the task run's own, once that has begun.
    """

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = numbers
        self.table: PageTable | None = None
        self.log = get_run_logger()
        self._loop = asyncio.get_running_loop()
        self._pages: list[asyncio.Task[None]] = []
        self._left = len(numbers)
        self._begun = asyncio.Event()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._failures: list[str] = []

    def begin(
        self, number: int, read: Callable[[int], Coroutine[Any, Any, None]], page_ended: Callable[[], None]
    ) -> None:
        """Begin a page; `page_ended` is called when it has ended, failed or was cancelled."""
        with subscribe(self._on_event):
            page = asyncio.create_task(read(number))
        self._pages.append(page)
        page.add_done_callback(lambda _: page_ended())
        page.add_done_callback(self._on_page_end)

    def close(self) -> None:
        """Begin no more of its pages."""
        self._left -= len(self.numbers) - len(self._pages)
        self._end_if_done()

    async def wait_begun(self) -> None:
        """Wait until one of its pages has a slot, or has ended without one."""
        await self._begun.wait()

    async def wait_ended(self) -> None:
        """Wait until all its pages have ended, or raise the first HearthError that ends the run."""
        await asyncio.shield(self._end)

    def cancel_pages(self, _running: asyncio.Task[None]) -> None:
        """Cancel the pages that have not ended: a callback of the block's task."""
        for page in self._pages:
            if not page.done() and not page.cancelling():
                page.cancel()

    def state(self) -> State[None]:
        """Return the final state of its task run, by the pages that have ended."""
        pages, failed = len(self._pages), len(self._failures)
        message = self._failures[0] if pages == failed == 1 else f"{pages} pages, {failed} failed"
        if failed and failed == pages:
            return Failed(message=message)
        if len(self.numbers) == 1:
            return Completed()
        return Completed(name="Partial" if failed else None, message=message)

    def __str__(self) -> str:
        first, last, count = self.numbers[0], self.numbers[-1], len(self.numbers)
        name = f"page {first}" if count == 1 else f"pages {first}-{last}"
        return name if last - first < count else f"{name}, {count} of them"

    def _on_event(self, event: Event) -> None:
        """Record an event of its pages; called on the thread of the slots."""
        if isinstance(event, PageStarted):
            self._loop.call_soon_threadsafe(self._begun.set)
        elif isinstance(event, PageDone):
            if event.result.status is PageStatus.FAILED:
                self._failures.append(event.result.detail or "")
            if self.table is not None:
                self.table(event)

    def _on_page_end(self, page: asyncio.Task[None]) -> None:
        self._begun.set()
        self._left -= 1
        error = None if page.cancelled() else page.exception()
        if self._end.done():
            return
        if page.cancelled():
            self._end.cancel()
        elif error is None:
            self._end_if_done()
        else:
            self._end.set_exception(error)
            self._end.exception()  # otherwise asyncio warns if nobody awaits it, because the run ended before

    def _end_if_done(self) -> None:
        if not self._left and not self._end.done():
            self._end.set_result(None)
