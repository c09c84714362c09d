"""Pages as images: their size, their colours, how much is on them; and what a bad page costs the others."""

from __future__ import annotations

import asyncio
import io
import shlex
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pymupdf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.core.errors import FailureReason, PageError, RendererError
from tasks.documents import render_process
from tasks.documents.pdf import open_document
from tasks.documents.render import PageImage, Renderer
from tasks.documents.sandbox.raster import ink_fraction, png_of, scale_for
from tasks.settings.reading import LimitSettings
from tests.support import pdfs
from tests.support.waiting import PATIENCE, until_async

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


async def rendered(path: Path, number: int = 1, longest_side: int = 400) -> PageImage:
    async with Renderer(path, longest_side, LimitSettings()) as renderer:
        return await renderer.page(number)


def opened(image: PageImage) -> Image.Image:
    return Image.open(io.BytesIO(image.png)).convert("RGB")


def alike(one: Any, other: Any, tolerance: int = 6) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(one, other, strict=True))


def workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "tasks.documents.sandbox.worker" in child.cmdline()]


def gone(process: psutil.Process) -> None:
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)


def own_memory(process: psutil.Process) -> int:
    """Without the document's own bytes, which are mapped and the system's to keep or not."""
    memory = process.memory_info()
    return int(memory.rss - memory.shared)


@asynccontextmanager
async def renders(path: Path, **limits: Any) -> AsyncIterator[Renderer]:
    """A renderer whose process has rendered a page before, so that a limit on time does not count its start."""
    async with Renderer(path, 200, LimitSettings(**limits)) as renderer:
        await until_async(lambda: _has_ink(renderer, 2))
        yield renderer


async def given_up(*pages: asyncio.Task[PageImage]) -> None:
    for page in pages:
        page.cancel()
    await asyncio.wait(pages)


async def fails(renderer: Renderer, number: int, reason: FailureReason = FailureReason.RENDER) -> PageError:
    with pytest.raises(PageError) as caught:
        await renderer.page(number)
    assert caught.value.reason is reason
    assert caught.value.final
    return caught.value


# Size


@pytest.mark.parametrize(
    ("size", "pixels"), [((595, 842), (566, 800)), ((842, 595), (800, 566)), ((50, 50), (800, 800))]
)
async def test_the_longest_side_has_the_pixels_that_were_asked_for(tmp_path, size, pixels):
    image = await rendered(pdfs.framed(tmp_path / "page.pdf", size), longest_side=800)
    assert alike((image.width, image.height), pixels, 1)
    assert opened(image).size == (image.width, image.height)


async def test_the_resolution_is_told_in_dots_an_inch(tmp_path):
    image = await rendered(pdfs.framed(tmp_path / "page.pdf", (720, 720)), longest_side=1500)
    assert image.dpi == pytest.approx(150)


async def test_a_giant_page_gets_no_larger_an_image(tmp_path):
    image = await rendered(pdfs.framed(tmp_path / "plan.pdf", (14400, 14400)))
    assert (image.width, image.height) == (400, 400)


async def test_a_long_receipt_keeps_the_pixels_of_a_sheet(tmp_path):
    image = await rendered(pdfs.framed(tmp_path / "receipt.pdf", (100, 1200)), longest_side=1200)
    assert len(image.strips) > 1
    assert {strip.width for strip in image.strips} == {image.width}
    assert image.dpi > 130
    assert not image.blank


@given(st.floats(1, 14400), st.floats(1, 14400), st.integers(64, 8192))
def test_no_page_has_more_pixels_than_a_square_one(width, height, longest_side):
    scale = scale_for(width, height, longest_side)
    assert width * scale * height * scale <= longest_side**2 * 1.001


@given(st.floats(1, 14400), st.floats(1, 14400), st.integers(64, 8192))
def test_a_page_and_the_same_page_on_its_side_are_scaled_alike(width, height, longest_side):
    assert scale_for(width, height, longest_side) == scale_for(height, width, longest_side)


# What it looks like


@pytest.mark.parametrize(("degrees", "dark"), [(0, (0, 0)), (90, (1, 0)), (180, (1, 1)), (270, (0, 1))])
async def test_a_page_is_turned_as_its_rotate_says(tmp_path, degrees, dark):
    image = await rendered(pdfs.turned(tmp_path / "turned.pdf", degrees))
    assert (image.width < image.height) == (degrees in {90, 270})
    for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
        at = (int(image.width * (0.25 + 0.5 * x)), int(image.height * (0.25 + 0.5 * y)))
        assert opened(image).getpixel(at) == (BLACK if (x, y) == dark else WHITE)


@pytest.mark.parametrize(
    ("ink", "seen"), [((0, 0, 0, 0), WHITE), ((0, 255, 255, 0), (237, 28, 36)), ((255, 0, 255, 0), (0, 166, 81))]
)
async def test_printers_inks_look_as_on_paper(tmp_path, ink, seen):
    """Inverted or taken for RGB, they would be the opposite colours."""
    path = pdfs.pictured(tmp_path / "print.pdf", Image.new("CMYK", (32, 32), ink), "JPEG")
    assert alike(opened(await rendered(path)).getpixel((200, 200)), seen, 40)


@pytest.mark.parametrize(
    ("paint", "seen"), [((0, 0, 0, 0), WHITE), ((255, 0, 0, 128), (255, 127, 127)), ((255, 0, 0, 255), (255, 0, 0))]
)
async def test_what_is_transparent_shows_white_paper(tmp_path, paint, seen):
    path = pdfs.pictured(tmp_path / "glass.pdf", Image.new("RGBA", (32, 32), paint), "PNG")
    assert alike(opened(await rendered(path)).getpixel((200, 200)), seen)


@pytest.mark.parametrize(("paint", "mode"), [((90, 90, 90), "L"), ((90, 92, 91), "L"), ((90, 90, 120), "RGB")])
async def test_an_image_has_colours_only_if_its_page_has(tmp_path, paint, mode):
    """Grey ones are smaller and quicker to make."""
    path = pdfs.pictured(tmp_path / "scan.pdf", Image.new("RGB", (32, 32), paint), "PNG")
    assert Image.open(io.BytesIO((await rendered(path)).png)).mode == mode


# How much is on it


async def test_an_empty_page_is_blank(tmp_path):
    image = await rendered(pdfs.written(tmp_path / "blank.pdf", ""))
    assert image.blank
    assert not image.has_ink


async def test_a_scan_of_one_even_shade_is_blank(tmp_path):
    path = pdfs.pictured(tmp_path / "grey.pdf", Image.new("L", (64, 64), 200), "PNG")
    assert (await rendered(path)).blank


async def test_a_page_of_text_has_ink(tmp_path):
    image = await rendered(pdfs.written(tmp_path / "text.pdf", "Hello"))
    assert not image.blank
    assert 0 < image.ink < 0.1
    assert image.has_ink


async def test_a_lone_page_number_is_ink(tmp_path):
    assert (await rendered(pdfs.written(tmp_path / "number.pdf", "7"), longest_side=1288)).has_ink


async def test_a_speck_is_neither_blank_nor_ink(tmp_path):
    """A model is asked about it, and may answer nothing."""
    image = await rendered(pdfs.spotted(tmp_path / "speck.pdf", 0.5), longest_side=1288)
    assert not image.blank
    assert not image.has_ink


@given(st.integers(0, 255), st.integers(0, 255), st.integers(1, 99))
def test_ink_is_zero_only_if_every_pixel_is_alike(paper, pen, pixels):
    image = Image.new("RGB", (100, 10), (paper,) * 3)
    image.paste((pen,) * 3, (0, 0, pixels, 1))
    assert (ink_fraction(image) == 0) == (paper == pen)


@given(st.integers(1, 400))
def test_white_on_black_is_ink_as_well_as_black_on_white(pixels):
    image = Image.new("L", (1000, 1), 255)
    image.paste(0, (0, 0, pixels, 1))
    negative = image.point(lambda shade: 255 - shade)
    assert ink_fraction(image) == ink_fraction(negative) == pytest.approx(pixels / 1000)


# What a bad page costs


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


async def test_a_page_that_is_not_there_fails_alone(tmp_path):
    async with renders(pdfs.written(tmp_path / "short.pdf", "one", "two")) as renderer:
        await fails(renderer, 3)
        assert (await renderer.page(2)).has_ink


async def test_a_page_that_takes_too_long_fails_alone(tmp_path):
    async with renders(pdfs.with_endless_page(tmp_path / "endless.pdf"), render_seconds=1) as renderer:
        assert "took more than 1 s" in str(await fails(renderer, 1))
        await until_async(lambda: _has_ink(renderer, 2))


async def _has_ink(renderer: Renderer, number: int) -> bool:
    """Whether a page is rendered, and in time."""
    try:
        return (await renderer.page(number)).has_ink
    except PageError:  # a busy machine took too long for it
        return False


async def test_a_process_that_is_killed_costs_no_page_and_twice_the_one_that_it_rendered(tmp_path):
    """Whoever kills it may do so for memory's sake, or want to."""
    async with renders(pdfs.with_endless_page(tmp_path / "endless.pdf")) as renderer:
        endless = asyncio.create_task(fails(renderer, 1))
        for _ in range(2):
            await until_async(_at_work)
            worker = workers()[0]
            worker.kill()
            await asyncio.to_thread(gone, worker)
        assert "crashed" in str(await endless)
        assert (await renderer.page(2)).has_ink


async def _at_work() -> bool:
    return any(worker.cpu_times().user > 1 for worker in workers())


async def test_a_page_whose_process_is_killed_is_rendered_by_another(tmp_path, monkeypatch):
    async with renders(pdfs.written(tmp_path / "paper.pdf", "one", "two")) as renderer:
        worker = workers()[0]
        worker.suspend()  # so that it is killed while it has the page
        page = asyncio.create_task(renderer.page(1))
        await asyncio.sleep(0)
        await until_async(lambda: _is_asked(renderer))
        worker.kill()
        assert (await page).has_ink


async def _is_asked(renderer: Renderer) -> bool:
    return renderer._turn.locked()


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have renderers start under a hard limit on their memory, in megabytes."""

    def limit(megabytes: int) -> None:
        command = " ".join(map(shlex.quote, render_process._COMMAND))
        shell = ("/bin/sh", "-c", f'ulimit -v {megabytes * 1000} && exec {command} "$0"')
        monkeypatch.setattr(render_process, "_COMMAND", shell)

    return limit


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process's address space")
async def test_under_a_lower_hard_limit_the_renderer_takes_what_it_may(tmp_path, limited):
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


async def test_a_process_that_died_between_two_pages_costs_none(tmp_path):
    async with renders(pdfs.written(tmp_path / "paper.pdf", "one", "two")) as renderer:
        worker = workers()[0]
        worker.kill()
        await asyncio.to_thread(gone, worker)
        await asyncio.sleep(0.5)  # asyncio hears of it a moment after the system
        assert (await renderer.page(1)).has_ink


async def test_a_page_that_was_given_up_is_not_taken_for_the_next(tmp_path):
    sizes = [(100, 100 + 10 * number) for number in range(6)]
    async with renders(pdfs.framed(tmp_path / "sizes.pdf", *sizes)) as renderer:
        for number, delay in ((1, 0), (2, 0.001), (3, 0.005), (4, 0.02)):
            given_up = asyncio.create_task(renderer.page(number))
            await asyncio.sleep(delay)
            given_up.cancel()
            image = await renderer.page(number + 2)
            width, height = sizes[number + 1]
            assert image.height / image.width == pytest.approx(height / width, abs=0.01)


async def test_pages_asked_for_at_once_each_get_their_own_image(tmp_path):
    sizes = [(100, 100 + 20 * number) for number in range(12)]
    async with renders(pdfs.framed(tmp_path / "sizes.pdf", *sizes)) as renderer:
        images = await asyncio.gather(*(renderer.page(number) for number in range(12, 0, -1)))
    ratios = [image.height / image.width for image in reversed(images)]
    assert ratios == [pytest.approx(height / width, abs=0.03) for width, height in sizes]


# Beside a slow page


@pytest.fixture
def soon_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.documents.render._SLOW_SECONDS", 0.1)


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


@pytest.mark.usefixtures("soon_slow")
async def test_when_the_slow_pages_are_done_no_more_than_one_process_is_left(tmp_path):
    async with renders(pdfs.with_endless_page(tmp_path / "endless.pdf"), render_seconds=1) as renderer:
        await asyncio.gather(fails(renderer, 1), fails(renderer, 1))
        await until_async(lambda: _has_ink(renderer, 2))
        assert len(workers()) <= 1


async def test_a_quick_page_starts_no_other_process(tmp_path):
    async with renders(pdfs.written(tmp_path / "paper.pdf", *"abcdefgh")) as renderer:
        await asyncio.gather(*(renderer.page(number) for number in range(1, 9)))
        assert len(workers()) == 1


# The image file


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["L", "RGB"]), st.data())
def test_a_png_holds_every_pixel_as_it_is(width, height, mode, data):
    size = width * height * len(mode)
    pixels = data.draw(st.binary(min_size=size, max_size=size))
    image = Image.frombytes(mode, (width, height), pixels)
    with Image.open(io.BytesIO(png_of(image))) as read:
        assert (read.format, read.mode, read.size, read.tobytes()) == ("PNG", mode, (width, height), pixels)


async def test_the_process_ends_with_its_context(tmp_path):
    async with renders(pdfs.written(tmp_path / "paper.pdf", "one", "two")):
        worker = workers()[0]
    assert not worker.is_running()


async def test_files_beside_the_caller_are_not_taken_for_modules(tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('taken for a module')")
    assert (await rendered(pdfs.written(tmp_path / "paper.pdf", "one"))).has_ink


async def test_memory_does_not_grow_with_the_pages(tmp_path):
    """A picture on each page, so that a cache would show: 300 of them unpacked are more than 300 MB."""
    path = pdfs.illustrated(tmp_path / "book.pdf", 300)
    async with Renderer(path, 200, LimitSettings()) as renderer:
        for number in range(1, 41):
            await renderer.page(number)
        measured = (psutil.Process(), workers()[0])
        before = [process.memory_info().rss for process in measured]
        for number in range(41, 301):
            await renderer.page(number)
        grown = [own_memory(process) - first for process, first in zip(measured, before, strict=True)]
    assert max(grown) < 40_000_000


def with_many_objects(path: Path, pages: int) -> Path:
    """Small pages, each with a long dictionary of its own that MuPDF keeps once it has seen it."""
    names = " ".join(f"/Colours{number} /DeviceGray" for number in range(400))
    with pymupdf.open() as pdf:
        for _ in range(pages):
            page = pdf.new_page(width=20, height=20)
            resources = pdf.get_new_xref()
            pdf.update_object(resources, f"<</ColorSpace<<{names}>>>>")
            pdf.xref_set_key(page.xref, "Resources", f"{resources} 0 R")
        pdf.save(path, garbage=0)
    return path


async def test_memory_does_not_grow_with_the_objects_of_the_file(tmp_path):
    """1,500 of these dictionaries take 30 MB."""
    async with Renderer(with_many_objects(tmp_path / "book.pdf", 2000), 20, LimitSettings()) as renderer:
        measured = []
        for number in range(1, 2001):
            await renderer.page(number)
            if number in {499, 1999}:
                measured.append(own_memory(workers()[0]))
    early, late = measured
    assert late - early < 15_000_000


async def test_a_file_that_is_replaced_is_read_on_as_it_was(tmp_path):
    path = pdfs.framed(tmp_path / "book.pdf", *[(100, 100)] * 3)
    async with Renderer(path, 20, LimitSettings()) as renderer:
        await renderer.page(1)
        pdfs.framed(tmp_path / "other.pdf", *[(100, 200)] * 3).replace(path)
        for number in range(1100):
            image = await renderer.page(number % 3 + 1)
            assert image.width == image.height
