"""How pages become task runs: in order, as the window lets them begin, in blocks that overlap; without a server.

The blocks are run as plain functions here. What Prefect records of them is proved in test_in_prefect.py.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect.logging import disable_run_logger

import flows.engine.pages
import flows.ui.artifacts
from flows.engine.block import Block
from flows.engine.pages import BLOCK, read_block, read_pages
from flows.ui.artifacts import MOST_SINGLE
from tasks.core.aio import WorkLoop
from tasks.core.errors import FailureReason, PageError, ServerError
from tasks.core.events import PageStarted, emit, subscribe
from tasks.reading.events import PageDone
from tasks.results.page import PageResult, PageStatus
from tasks.serving.admission_limiter import AdmissionLimiter
from tests.support.waiting import PATIENCE, until_async

MANY = MOST_SINGLE + 1
Page = Callable[[int, int], Awaitable[None]]


def good(number: int, **facts: Any) -> PageResult:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    told = {"identity": "i", "status": PageStatus.READ, "model": "m", "digest": "d", "finished_at": now}
    return PageResult(page=number, **told | {"text": "Xylophone"} | facts)


class Reader:
    """What `PageReader` is to the flow; each page does what the test says, and is read well if it says nothing."""

    attempts = 3
    document = "Report"

    def __init__(self, page: Page | None = None) -> None:
        self._page = page
        self.begun: list[int] = []
        self.tried: dict[int, list[int]] = defaultdict(list)
        self.done: list[int] = []
        self.cancelled: list[int] = []
        self.open = self.most_open = 0

    async def read(self, number: int, attempt: int) -> None:
        if attempt == 1:
            self.begun.append(number)
        self.tried[number].append(attempt)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            if self._page is not None:
                await self._page(number, attempt)
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        except PageError as error:
            error.final = error.final or attempt == self.attempts
            raise
        finally:
            self.open -= 1
        self.done.append(number)
        emit(PageDone(good(number)))


class Shown:
    """The tables that were shown, and how their blocks ended."""

    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.keys: set[str | None] = set()
        self.states: list[Any] = []
        self.begun: list[str] = []

    async def table(self, rows: list[dict[str, Any]], key: str | None, told: str) -> None:
        self.tables[told] = rows
        self.keys.add(key)

    async def block(self, *arguments: Any) -> None:
        self.begun.append(str(arguments[1]))
        self.states.append(await read_block.fn(*arguments))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch):
    shown = Shown()
    monkeypatch.setattr(flows.engine.pages, "read_block", shown.block)
    monkeypatch.setattr(flows.engine.pages, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(flows.ui.artifacts, "acreate_table_artifact", shown.table)
    with disable_run_logger():
        yield shown


@pytest.fixture
async def work() -> AsyncIterator[WorkLoop]:
    async with WorkLoop() as work:
        yield work


async def read(work: WorkLoop, reader: Any, window: int = 12, count: int = MANY) -> None:
    async with asyncio.timeout(PATIENCE):
        await read_pages(work, reader, range(1, count + 1), AdmissionLimiter(window))


async def ended_block(numbers: tuple[int, ...], failed: tuple[int, ...]) -> Any:
    """How a block ends of whose pages these failed."""
    block = Block(numbers)

    async def page(number: int) -> None:
        status = PageStatus.FAILED if number in failed else PageStatus.READ
        emit(PageDone(good(number, status=status, detail="The answer is empty." if number in failed else None)))

    for number in numbers:
        block.begin(number, page, lambda: None)
    await block.ended()
    return block.state()


def failing(*numbers: int, final: bool = False) -> Page:
    async def page(number: int, _: int) -> None:
        if number in numbers:
            raise PageError(FailureReason.EMPTY, "The answer is empty.", final=final)

    return page


@pytest.mark.usefixtures("shown")
class TestWindow:
    async def test_every_page_is_read_once_in_order(self, work):
        reader = Reader()
        await read(work, reader)
        assert reader.begun == list(range(1, MANY + 1))
        assert sorted(reader.done) == reader.begun

    @pytest.mark.parametrize("size", [1, 3, 40])
    async def test_no_more_pages_are_open_than_the_window_has_places(self, work, size):
        reader = Reader()
        await read(work, reader, size)
        assert 1 <= reader.most_open <= size

    async def test_a_slow_page_holds_up_neither_its_own_block_nor_the_next_ones(self, work):
        reader = Reader()

        async def page(number: int, _: int) -> None:
            while number == 1 and len(reader.done) < MANY - 1:
                await asyncio.sleep(0.001)

        reader._page = page
        await read(work, reader, 4)
        assert reader.done[-1] == 1

    async def test_pages_of_the_next_block_begin_while_the_last_ones_of_a_block_are_read(self, work):
        """Otherwise slots would be idle at the end of each block."""
        reader = Reader()

        async def page(number: int, _: int) -> None:
            while number == BLOCK and BLOCK + 3 not in reader.begun:
                await asyncio.sleep(0.001)

        reader._page = page
        await read(work, reader, 4)
        assert len(reader.done) == MANY

    async def test_a_window_that_grows_meanwhile_lets_more_pages_begin(self, work):
        window, reader = AdmissionLimiter(0), Reader()
        reading = asyncio.create_task(read_pages(work, reader, range(1, MANY + 1), window))
        await asyncio.sleep(0.05)
        assert reader.begun == []
        window.resize(2)
        async with asyncio.timeout(PATIENCE):
            await reading
        assert len(reader.done) == MANY


class TestTaskRuns:
    async def test_one_begins_when_its_page_has_a_slot(self, work, shown):
        """Those that wait for a slot have none yet, however many are open."""
        slots: list[int] = []
        ended = asyncio.Event()

        async def page(number: int, _: int) -> None:
            while slots and not ended.is_set():  # one slot, and page 1 has it
                await asyncio.sleep(0.001)
            slots.append(number)
            emit(PageStarted(number))
            while not ended.is_set():
                await asyncio.sleep(0.001)

        reader = Reader(page)
        reading = asyncio.create_task(read(work, reader, 4, count=4))
        await until_async(lambda: reader.open == 4 and shown.begun)
        assert shown.begun == ["page 1"]
        ended.set()
        await reading
        assert sorted(shown.begun) == [f"page {number}" for number in range(1, 5)]

    async def test_one_of_a_page_that_needs_no_slot_begins_when_that_has_ended(self, work, shown):
        await read(work, Reader(), count=1)
        assert shown.begun == ["page 1"]


class TestFailures:
    async def test_a_page_is_tried_as_often_as_a_single_one_would_be(self, work, shown):
        reader = Reader(failing(30))
        await read(work, reader)
        assert reader.tried[30] == [1, 2, 3]

    async def test_a_page_that_cannot_be_helped_is_tried_once(self, work, shown):
        reader = Reader(failing(30, final=True))
        await read(work, reader)
        assert reader.tried[30] == [1]

    async def test_an_attempt_that_helps_is_the_last(self, work, shown):
        async def page(number: int, attempt: int) -> None:
            if number == 30 and attempt == 1:
                raise PageError(FailureReason.TRUNCATED, "The answer was cut off.")

        reader = Reader(page)
        await read(work, reader)
        assert reader.tried[30] == [1, 2]
        assert 30 in reader.done

    async def test_the_others_of_its_block_are_read(self, work, shown):
        reader = Reader(failing(30, 31))
        await read(work, reader)
        assert set(range(1, MANY + 1)) - set(reader.done) == {30, 31}

    async def test_what_ends_the_run_is_told_once_and_as_it_is(self, work, shown):
        async def page(number: int, _: int) -> None:
            if number > 40:
                raise ServerError("The server is gone.")

        reader = Reader(page)
        with pytest.raises(ServerError, match=r"^The server is gone\.$"):
            await read(work, reader, 30)
        assert max(reader.begun) <= 70

    async def test_cancelling_interrupts_the_pages_under_way_and_begins_no_others(self, work, shown):
        async def page(number: int, _: int) -> None:
            if number > 30:
                await asyncio.Event().wait()

        reader = Reader(page)
        reading = asyncio.create_task(read(work, reader, 5))
        while len(reader.begun) < 35:
            await asyncio.sleep(0.001)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await until_async(lambda: len(reader.cancelled) >= 5)  # on the other loop, a moment later
        assert sorted(reader.cancelled) == [31, 32, 33, 34, 35]
        assert len(reader.begun) == 35


class TestTables:
    async def test_each_block_shows_its_pages_in_order_without_their_text(self, work, shown):
        await read(work, Reader())
        assert [row["page"] for row in shown.tables["Report pages 26-50"]] == list(range(26, 51))
        assert len(shown.tables) == -(-MANY // BLOCK)
        assert "Xylophone" in str(shown.tables)

    async def test_they_are_not_in_the_list_of_all_artifacts(self, work, shown):
        await read(work, Reader())
        assert shown.keys == {None}

    async def test_a_failed_page_is_in_it_with_its_reason(self, work, shown):
        async def page(number: int, _: int) -> None:
            if number == 30:
                emit(PageDone(good(30, status=PageStatus.FAILED, reason=FailureReason.RENDER, text="")))
                raise PageError(FailureReason.RENDER, "The page cannot be rendered.", final=True)

        await read(work, Reader(page))
        (row,) = (row for row in shown.tables["Report pages 26-50"] if row["page"] == 30)
        assert (row["status"], row["reason"]) == ("failed", "render")

    @pytest.mark.parametrize(
        ("numbers", "state"),
        [((), ("COMPLETED", "Completed")), ((2,), ("COMPLETED", "Partial")), ((1, 2, 3), ("FAILED", "Failed"))],
    )
    async def test_a_block_ends_partial_if_some_of_its_pages_failed_and_failed_if_all_did(self, shown, numbers, state):
        ended = await ended_block((1, 2, 3), numbers)
        assert (ended.type.value, ended.name) == state
        assert ended.message == f"3 pages, {len(numbers)} failed"

    async def test_a_page_of_its_own_that_failed_says_why(self, shown):
        ended = await ended_block((1,), (1,))
        assert (ended.type.value, ended.message) == ("FAILED", "The answer is empty.")

    async def test_a_block_that_is_broken_off_shows_what_was_stored(self, work, shown):
        async def page(number: int, _: int) -> None:
            if number == 40:
                await until_async(lambda: len(reader.done) == 39)
                raise ServerError("The server is gone.")
            if number > 40:
                await asyncio.Event().wait()

        reader = Reader(page)
        with pytest.raises(ServerError):
            await read(work, reader)
        assert [row["page"] for row in shown.tables["Report pages 26-50"]] == list(range(26, 40))


@pytest.mark.parametrize(
    ("numbers", "name"),
    [
        ((7,), "page 7"),
        ((7, 8), "pages 7-8"),
        (range(26, 51), "pages 26-50"),
        ((1, 3, 9), "pages 1-9, 3 of them"),
    ],
)
@pytest.mark.usefixtures("shown")
async def test_a_block_is_named_for_its_pages(numbers, name):
    assert str(Block(numbers)) == name


@pytest.mark.usefixtures("shown")
async def test_memory_does_not_grow_with_the_pages(work, monkeypatch):
    """2,000 pages of 20 kB of text: kept, they would be 40 MB."""

    class Forgetful(Reader):
        async def read(self, number: int, attempt: int) -> None:
            await asyncio.sleep(0)
            emit(PageDone(good(number, text=f"{number}" * 5000)))

    async def no_table(*_: Any) -> None:
        pass

    monkeypatch.setattr(flows.ui.artifacts, "acreate_table_artifact", no_table)
    monkeypatch.setattr(flows.engine.pages, "read_block", read_block.fn)
    sizes: list[int] = []

    def look(event: Any) -> None:
        if event.result.page in {500, 2000}:
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        with subscribe(look):
            await read(work, Forgetful(), count=2000)
    finally:
        tracemalloc.stop()
    early, late = sizes
    assert late - early < 500_000
