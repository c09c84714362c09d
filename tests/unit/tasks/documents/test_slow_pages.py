"""A slow page does not hold up the others, and ends with the process that renders it."""

from __future__ import annotations

import asyncio

import pytest

from tests.support import pdfs
from tests.support.waiting import PATIENCE, until_async
from tests.unit.tasks.documents.rendering import fails, given_up, has_ink, renders, workers


@pytest.fixture
def soon_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.documents.shared_processes.SLOW_SECONDS", 0.1)


@pytest.mark.usefixtures("soon_slow")
async def test_a_slow_page_does_not_keep_others_from_being_rendered(tmp_path):
    async with renders(pdfs.with_endless_page(tmp_path / "endless.pdf"), render_seconds=10 * PATIENCE) as renderer:
        endless = asyncio.create_task(renderer.page(1))
        async with asyncio.timeout(PATIENCE):
            images = await asyncio.gather(*(renderer.page(2) for _ in range(3)))
        assert all(image.has_ink for image in images)
        assert not endless.done()
        await given_up(endless)


@pytest.mark.usefixtures("soon_slow")
async def test_slow_pages_have_two_processes_and_the_others_one(tmp_path):
    async with renders(pdfs.with_endless_page(tmp_path / "endless.pdf"), render_seconds=10 * PATIENCE) as renderer:
        endless = [asyncio.create_task(renderer.page(1)) for _ in range(5)]
        async with asyncio.timeout(PATIENCE):
            await until_async(lambda: len(workers()) >= 3)
        await asyncio.sleep(1)
        assert len(workers()) == 3
        await given_up(*endless)


@pytest.mark.long("renders slow pages one after the other: 6 s")
@pytest.mark.usefixtures("soon_slow")
async def test_after_the_slow_pages_one_process_is_left(tmp_path):
    async with renders(pdfs.with_endless_page(tmp_path / "endless.pdf"), render_seconds=1) as renderer:
        await asyncio.gather(fails(renderer, 1), fails(renderer, 1))
        await until_async(lambda: has_ink(renderer, 2))
        assert len(workers()) <= 1


async def test_a_quick_page_starts_no_other_process(tmp_path):
    async with renders(pdfs.written(tmp_path / "paper.pdf", *"abcdefgh")) as renderer:
        await asyncio.gather(*(renderer.page(number) for number in range(1, 9)))
        assert len(workers()) == 1
