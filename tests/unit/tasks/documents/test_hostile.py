"""Small hostile files: refused when they are opened, or failed on their page, within the limits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tasks.core.errors import DocumentError, FailureReason, HostileError, PageError
from tasks.documents import render
from tasks.documents.pdf import open_document
from tasks.documents.render import Renderer
from tasks.settings.reading import LimitSettings
from tests.support import hostile, pdfs
from tests.support.waiting import PATIENCE

CASE = Path(__file__).parents[4].parent / "shared" / "cases" / "hostile_xref.pdf"
GIGABYTE = 1_000_000_000


@contextmanager
def memory_of_children() -> Iterator[list[int]]:
    """Yield the peak memory of child processes, sampled every few milliseconds."""
    seen, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            for child in psutil.Process().children():
                with suppress(psutil.Error):
                    seen[0] = max(seen[0], child.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield seen
    finally:
        done.set()
        watching.join()


@pytest.mark.long("opens each bomb and watches its memory: 3 to 8 s")
@pytest.mark.parametrize("make", hostile.AT_ONCE)
def test_a_document_hostile_to_opening_is_refused_or_harmless_within_a_gigabyte(tmp_path, make):
    path = make(tmp_path / "bomb.pdf")
    with memory_of_children() as memory, suppress(DocumentError):
        assert open_document(path, LimitSettings(open_seconds=1, pages=3_000_000)).pages > 0
    assert memory[0] < GIGABYTE


@pytest.mark.parametrize("make", [hostile.index_bomb, hostile.many_updates, hostile.object_stream_bomb])
def test_a_document_that_exceeds_the_limits_of_opening_is_hostile(tmp_path, make):
    with pytest.raises(HostileError, match=r"bomb\.pdf is refused as hostile: .* takes more than") as caught:
        open_document(make(tmp_path / "bomb.pdf"), LimitSettings(open_seconds=0.3))  # each takes over half a second
    assert caught.value.exit_code == 2
    assert caught.value.reason is FailureReason.HOSTILE


@pytest.mark.skipif(not CASE.exists(), reason="the case is not here")
def test_a_known_bomb_of_four_kilobytes_is_refused_for_its_memory_before_its_time_is_over():
    with memory_of_children() as memory, pytest.raises(HostileError, match="500 MB of memory"):
        open_document(CASE, LimitSettings())
    assert memory[0] < GIGABYTE


@pytest.mark.long("renders each bomb until its second is over: 2 to 5 s")
@pytest.mark.parametrize("make", hostile.ON_THE_PAGE)
async def test_a_hostile_page_ends_in_time(tmp_path, make):
    async with (
        asyncio.timeout(PATIENCE),
        Renderer(make(tmp_path / "bomb.pdf"), 400, LimitSettings(render_seconds=1)) as renderer,
    ):
        with suppress(PageError):
            assert (await renderer.page(1)).width > 0


async def test_after_some_pages_that_took_too_much_no_more_are_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(render, "MOST_LOST", 1)
    path = pdfs.with_endless_page(tmp_path / "endless.pdf")
    async with Renderer(path, 100, LimitSettings(render_seconds=2)) as renderer:
        await _fails(renderer.page, 1, FailureReason.RENDER)
        await _fails(renderer.page, 2, FailureReason.HOSTILE)


async def _fails(page: Callable[[int], object], number: int, reason: FailureReason) -> None:
    with pytest.raises(PageError) as caught:
        await page(number)  # type: ignore[misc]
    assert caught.value.reason is reason
