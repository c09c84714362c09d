"""The tables of a run's pages, one for each block."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flows.engine.block import Block
from flows.engine.pages import BLOCK
from tasks.core.errors import FailureReason, PageError, ServerError
from tasks.core.events import emit
from tasks.reading.events import PageDone
from tasks.results.page import PageStatus
from tests.support.waiting import until_async
from tests.unit.flows.engine.page_runs import MANY, Reader, good, read


async def ended_block(numbers: tuple[int, ...], failed: tuple[int, ...]) -> Any:
    """How a block ends of whose pages these failed."""
    block = Block(numbers)

    async def page(number: int) -> None:
        status = PageStatus.FAILED if number in failed else PageStatus.READ
        emit(PageDone(good(number, status=status, detail="The answer is empty." if number in failed else None)))

    for number in numbers:
        block.begin(number, page, lambda: None)
    await block.wait_ended()
    return block.state()


class TestTables:
    async def test_each_block_shows_its_pages_in_order_without_their_text(self, work, shown):
        await read(work, Reader())
        assert [row["page"] for row in shown.tables["Report pages 26-50"]] == list(range(26, 51))
        assert len(shown.tables) == -(-MANY // BLOCK)
        assert "Xylophone" in str(shown.tables)

    async def test_the_tables_have_no_key_and_are_not_listed_with_all_artifacts(self, work, shown):
        await read(work, Reader())
        assert shown.keys == {None}

    async def test_the_table_shows_the_reason_of_a_failed_page(self, work, shown):
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
    async def test_a_block_is_partial_if_some_pages_failed_and_failed_if_all_did(self, shown, numbers, state):
        ended = await ended_block((1, 2, 3), numbers)
        assert (ended.type.value, ended.name) == state
        assert ended.message == f"3 pages, {len(numbers)} failed"

    async def test_the_task_run_of_a_single_failed_page_has_the_reason(self, shown):
        ended = await ended_block((1,), (1,))
        assert (ended.type.value, ended.message) == ("FAILED", "The answer is empty.")

    async def test_the_table_of_an_interrupted_block_shows_the_stored_pages(self, work, shown):
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
async def test_a_block_is_named_after_its_pages(numbers, name):
    assert str(Block(numbers)) == name
