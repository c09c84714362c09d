"""A bad page does not affect the others."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections.abc import Callable

import psutil
import pytest

from tasks.core.errors import FailureReason, RendererError
from tasks.documents import render_process
from tasks.documents.pdf import open_document
from tasks.documents.render import Renderer
from tasks.settings.reading import LimitSettings
from tests.support import pdfs
from tests.support.waiting import until_async
from tests.unit.tasks.documents.rendering import fails, has_ink, rendered, renders, workers


def gone(process: psutil.Process) -> None:
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)


async def test_a_password_opens_an_encrypted_pdf(tmp_path):
    path = pdfs.encrypted(tmp_path / "locked.pdf", "Hello", "secret")
    async with Renderer(path, 400, LimitSettings(), "secret") as renderer:
        assert (await renderer.page(1)).has_ink


async def test_without_its_password_a_page_fails_and_says_so(tmp_path):
    path = pdfs.encrypted(tmp_path / "locked.pdf", "Hello", "secret")
    async with Renderer(path, 400, LimitSettings()) as renderer:
        assert "encrypted" in str(await fails(renderer, 1))


async def test_a_picture_over_the_limit_fails_its_page_alone(tmp_path):
    async with renders(pdfs.with_huge_picture(tmp_path / "huge.pdf", 30_000)) as renderer:
        assert "30000 x 30000 pixels; the limit is 250 megapixels" in str(await fails(renderer, 1, FailureReason.SIZE))
        assert (await renderer.page(2)).has_ink


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space")
async def test_a_page_that_outgrows_the_memory_limit_fails_alone(tmp_path):
    path = pdfs.framed(tmp_path / "large.pdf", (100, 100), (100, 800))
    async with Renderer(path, 8192, LimitSettings(render_memory_mb=280)) as renderer:
        assert "HEARTH_LIMITS__RENDER_MEMORY_MB" in str(await fails(renderer, 1))
        assert (await renderer.page(2)).has_ink


async def test_a_missing_page_fails_alone(tmp_path):
    async with renders(pdfs.written(tmp_path / "short.pdf", "one", "two")) as renderer:
        await fails(renderer, 3)
        assert (await renderer.page(2)).has_ink


async def test_a_page_that_takes_too_long_fails_alone(tmp_path):
    async with renders(pdfs.with_endless_page(tmp_path / "endless.pdf"), render_seconds=1) as renderer:
        assert "took more than 1 s" in str(await fails(renderer, 1))
        await until_async(lambda: has_ink(renderer, 2))


async def test_a_process_that_is_killed_costs_no_page_and_twice_the_one_that_it_rendered(tmp_path):
    """The system may have killed it to free memory, or a person on purpose."""
    async with renders(pdfs.with_endless_page(tmp_path / "endless.pdf")) as renderer:
        endless = asyncio.create_task(fails(renderer, 1))
        for _ in range(2):
            await until_async(_at_work)
            worker = (await until_async(workers))[0]
            worker.kill()
            await asyncio.to_thread(gone, worker)
        assert "crashed" in str(await endless)
        assert (await renderer.page(2)).has_ink


async def _at_work() -> bool:
    return any(worker.cpu_times().user > 1 for worker in workers())


async def test_a_page_whose_process_is_killed_is_rendered_by_another(tmp_path, monkeypatch):
    async with renders(pdfs.written(tmp_path / "paper.pdf", "one", "two")) as renderer:
        worker = (await until_async(workers))[0]
        worker.suspend()  # so that it is killed while it has the page
        page = asyncio.create_task(renderer.page(1))
        await asyncio.sleep(0)
        await until_async(lambda: _is_asked(renderer))
        worker.kill()
        assert (await page).has_ink


async def _is_asked(renderer: Renderer) -> bool:
    return renderer.process_lock.locked()


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have renderers start under a hard limit on their memory, in megabytes."""

    def limit(megabytes: int) -> None:
        command = " ".join(map(shlex.quote, render_process.COMMAND))
        shell = ("/bin/sh", "-c", f'ulimit -v {megabytes * 1000} && exec {command} "$0"')
        monkeypatch.setattr(render_process, "COMMAND", shell)

    return limit


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space")
async def test_the_renderer_keeps_within_a_lower_hard_limit(tmp_path, limited):
    limited(700)
    path = pdfs.written(tmp_path / "paper.pdf", "one")
    assert open_document(path, LimitSettings()).pages == 1
    assert (await rendered(path)).has_ink


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space")
async def test_a_renderer_that_does_not_start_is_an_error_of_the_run(tmp_path, limited):
    limited(60)
    path = pdfs.written(tmp_path / "paper.pdf", "one")
    with pytest.raises(RendererError, match=r"does not start.*ulimit -v") as caught:
        open_document(path, LimitSettings())
    assert caught.value.exit_code == 1
    with pytest.raises(RendererError, match="does not start"):
        await rendered(path)


async def test_a_process_that_died_between_two_pages_costs_no_page(tmp_path):
    async with renders(pdfs.written(tmp_path / "paper.pdf", "one", "two")) as renderer:
        worker = (await until_async(workers))[0]
        worker.kill()
        await asyncio.to_thread(gone, worker)
        await asyncio.sleep(0.5)  # asyncio hears of it a moment after the system
        assert (await renderer.page(1)).has_ink


async def test_a_cancelled_page_is_not_taken_for_the_next(tmp_path):
    sizes = [(100, 100 + 10 * number) for number in range(6)]
    async with renders(pdfs.framed(tmp_path / "sizes.pdf", *sizes)) as renderer:
        for number, delay in ((1, 0), (2, 0.001), (3, 0.005), (4, 0.02)):
            given_up = asyncio.create_task(renderer.page(number))
            await asyncio.sleep(delay)
            given_up.cancel()
            image = await renderer.page(number + 2)
            width, height = sizes[number + 1]
            assert image.height / image.width == pytest.approx(height / width, abs=0.01)


async def test_concurrent_requests_get_the_images_of_their_pages(tmp_path):
    sizes = [(100, 100 + 20 * number) for number in range(12)]
    async with renders(pdfs.framed(tmp_path / "sizes.pdf", *sizes)) as renderer:
        images = await asyncio.gather(*(renderer.page(number) for number in range(12, 0, -1)))
    ratios = [image.height / image.width for image in reversed(images)]
    assert ratios == [pytest.approx(height / width, abs=0.03) for width, height in sizes]
