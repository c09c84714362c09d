"""Pages become task runs: in order, as they are admitted, in blocks that overlap; without a server."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from typing import Any

import pytest

import flows.engine.pages
import flows.ui.artifacts
from flows.engine.pages import BLOCK, read_block, read_pages
from tasks.core.events import PageStarted, emit, subscribe
from tasks.reading.events import PageDone
from tasks.serving.admission_limiter import AdmissionLimiter
from tests.support.waiting import PATIENCE, until_async
from tests.unit.flows.engine.page_runs import MANY, Reader, good, read


@pytest.mark.usefixtures("shown")
class TestWindow:
    async def test_every_page_is_read_once_in_order(self, work):
        reader = Reader()
        await read(work, reader)
        assert reader.begun == list(range(1, MANY + 1))
        assert sorted(reader.done) == reader.begun

    @pytest.mark.parametrize("size", [1, 3, 40])
    async def test_no_more_pages_are_open_than_are_admitted(self, work, size):
        reader = Reader()
        await read(work, reader, size)
        assert 1 <= reader.most_open <= size

    async def test_a_slow_page_delays_neither_its_block_nor_the_next_ones(self, work):
        reader = Reader()

        async def page(number: int, _: int) -> None:
            while number == 1 and len(reader.done) < MANY - 1:
                await asyncio.sleep(0.001)

        reader.page = page
        await read(work, reader, 4)
        assert reader.done[-1] == 1

    async def test_pages_of_the_next_block_begin_while_the_last_ones_of_a_block_are_read(self, work):
        """Otherwise slots would idle at the end of each block."""
        reader = Reader()

        async def page(number: int, _: int) -> None:
            while number == BLOCK and BLOCK + 3 not in reader.begun:
                await asyncio.sleep(0.001)

        reader.page = page
        await read(work, reader, 4)
        assert len(reader.done) == MANY

    async def test_more_pages_begin_when_the_limit_grows(self, work):
        limiter, reader = AdmissionLimiter(0), Reader()
        async with limiter.admission(MANY) as admission:
            reading = asyncio.create_task(read_pages(work, reader, range(1, MANY + 1), admission))
            await asyncio.sleep(0.05)
            assert reader.begun == []
            limiter.resize(2)
            async with asyncio.timeout(PATIENCE):
                await reading
        assert len(reader.done) == MANY


class TestTaskRuns:
    async def test_a_task_run_begins_when_its_page_has_a_slot(self, work, shown):
        """Open pages that wait for a slot have no task run yet."""
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

    async def test_the_task_run_of_a_page_without_a_slot_begins_when_the_page_has_ended(self, work, shown):
        await read(work, Reader(), count=1)
        assert shown.begun == ["page 1"]


@pytest.mark.long("2,000 pages of text: 7 s")
@pytest.mark.usefixtures("shown")
async def test_memory_does_not_grow_with_the_number_of_pages(work, monkeypatch):
    """The text of 2,000 pages of 20 kB would be 40 MB."""

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
