"""Failed pages: how often they are tried, and which errors end the run."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import pytest

import flows.engine.pages
from tasks.core.errors import FailureReason, PageError, ServerError
from tests.support.waiting import until_async
from tests.unit.flows.engine.page_runs import MANY, Page, Reader, read


def failing(*numbers: int, final: bool = False) -> Page:
    async def page(number: int, _: int) -> None:
        if number in numbers:
            raise PageError(FailureReason.EMPTY, "The answer is empty.", final=final)

    return page


class TestFailures:
    async def test_a_failed_page_of_a_block_is_tried_as_often_as_a_single_page(self, work, shown):
        reader = Reader(failing(30))
        await read(work, reader)
        assert reader.tried[30] == [1, 2, 3]

    async def test_a_page_with_a_final_error_is_tried_once(self, work, shown):
        reader = Reader(failing(30, final=True))
        await read(work, reader)
        assert reader.tried[30] == [1]

    async def test_a_successful_attempt_is_the_last(self, work, shown):
        async def page(number: int, attempt: int) -> None:
            if number == 30 and attempt == 1:
                raise PageError(FailureReason.TRUNCATED, "The answer was cut off.")

        reader = Reader(page)
        await read(work, reader)
        assert reader.tried[30] == [1, 2]
        assert 30 in reader.done

    async def test_the_other_pages_of_the_block_are_read(self, work, shown):
        reader = Reader(failing(30, 31))
        await read(work, reader)
        assert set(range(1, MANY + 1)) - set(reader.done) == {30, 31}

    async def test_an_error_that_ends_the_run_is_raised_once_and_unchanged(self, work, shown):
        async def page(number: int, _: int) -> None:
            if number > 40:
                raise ServerError("The server is gone.")

        reader = Reader(page)
        with pytest.raises(ServerError, match=r"^The server is gone\.$"):
            await read(work, reader, 30)

    async def test_after_an_error_that_ends_the_run_no_page_begins_however_long_prefect_takes(self, work, shown):
        async def page(number: int, _: int) -> None:
            if number > 40:
                raise ServerError("The server is gone.")

        async def slow_block(*arguments: Any) -> None:
            try:
                await shown.block(*arguments)
            finally:
                for _ in range(10_000):
                    await asyncio.sleep(0)

        reader = Reader(page)
        with patch.object(flows.engine.pages, "read_block", slow_block), pytest.raises(ServerError):
            await read(work, reader, 30)
        assert max(reader.begun) <= 70  # those that were open, at most 30

    async def test_cancelling_interrupts_the_open_pages_and_begins_no_others(self, work, shown):
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
