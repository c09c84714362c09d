"""The processes that the documents of a run share: how many there are, and who gets which."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tasks.documents import shared_processes as sharing
from tasks.documents.document_file import DocumentFile
from tasks.documents.pdf import inspect_document
from tasks.documents.render import Renderer
from tasks.documents.shared_processes import processes_here, shared_processes
from tasks.settings.reading import LimitSettings
from tests.support import pdfs
from tests.support.waiting import PATIENCE
from tests.unit.tasks.documents.rendering import workers

LIMITS = LimitSettings()


@pytest.fixture(autouse=True)
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "_MOST_AT_ONCE", 2)


def documents(folder: Path, count: int) -> list[Path]:
    return [pdfs.written(folder / f"{number}.pdf", f"Document {number}.") for number in range(count)]


async def test_many_documents_that_are_inspected_at_once_share_two_processes(tmp_path):
    async with shared_processes():
        await asyncio.gather(*(inspect_document(path, LIMITS) for path in documents(tmp_path, 6)))
        assert len(workers()) <= 2


async def test_many_documents_that_are_rendered_at_once_share_two_processes(tmp_path):
    async with shared_processes(), AsyncExitStack() as stack:
        renderers = [await stack.enter_async_context(Renderer(path, 200, LIMITS)) for path in documents(tmp_path, 6)]
        images = await asyncio.gather(*(renderer.page(1) for renderer in renderers))
        assert all(image.has_ink for image in images)
        assert len(workers()) <= 2


async def test_a_document_gets_the_process_that_has_it_open(tmp_path):
    one, two = documents(tmp_path, 2)
    async with shared_processes(), Renderer(one, 200, LIMITS) as first, Renderer(two, 200, LIMITS) as second:
        await asyncio.gather(first.page(1), second.page(1))
        for _ in range(3):
            await first.page(1)
            await second.page(1)
        async with processes_here() as pool, pool.process() as one_process, pool.process() as other_process:
            assert one_process.documents + other_process.documents == 2


async def test_documents_that_are_slow_to_open_do_not_hold_up_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "SLOW_SECONDS", 0.1)
    async with shared_processes(), processes_here() as pool:
        slow = asyncio.Event()
        held = asyncio.Event()

        async def hold() -> None:
            async with pool.process(when_slow=slow.set):
                await held.wait()

        holding = [asyncio.create_task(hold()) for _ in range(2)]
        async with asyncio.timeout(PATIENCE):
            await slow.wait()
            assert (await inspect_document(documents(tmp_path, 1)[0], LIMITS)).document.pages == 1
        held.set()
        await asyncio.gather(*holding)


async def test_a_wait_for_a_process_that_is_cancelled_takes_none(tmp_path):
    async with shared_processes(), processes_here() as pool:
        async with pool.process(), pool.process():
            waiting = asyncio.create_task(inspect_document(documents(tmp_path, 1)[0], LIMITS))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
        async with asyncio.timeout(PATIENCE), pool.process(), pool.process():
            pass


async def test_a_process_that_crashed_is_replaced_for_the_next_document(tmp_path):
    one, two = documents(tmp_path, 2)
    async with shared_processes():
        with DocumentFile.at(one, LIMITS) as file:
            async with processes_here() as pool, pool.process() as process:
                await process.open(file)
        workers()[0].kill()
        assert (await inspect_document(two, LIMITS)).document.pages == 1
