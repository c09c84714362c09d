"""Pages are put upright before any model sees them, where it is certain how they lie."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pymupdf
import pytest
from PIL import Image, ImageChops

from tasks.core.corrections import Correction, Evidence
from tasks.documents import turn_process
from tasks.documents.page_image import PageImage
from tasks.documents.render import Renderer
from tasks.documents.sandbox.upright import text_turn
from tasks.scans.skew import skew_of
from tasks.settings.reading import LimitSettings
from tests.support import scans

SIDE = 1288


async def rendered(path: Path, page: int = 1, side: int = SIDE, **options: bool) -> PageImage:
    async with Renderer(path, side, LimitSettings(), **options) as renderer:
        return await renderer.page(page)


def seen(image: PageImage) -> Image.Image:
    return Image.open(io.BytesIO(image.png)).convert("L")


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of the pixels, of 255, when both are small."""
    small = [image.resize((60, 80), Image.Resampling.BOX) for image in (one, other)]
    return sum(ImageChops.difference(*small).tobytes()) / (60 * 80)


@pytest.mark.parametrize(("lies", "turn"), [(1, 270), (2, 180), (3, 90)])
async def test_a_scan_that_lies_on_its_side_or_upside_down_is_turned(tmp_path, lies, turn):
    prose = scans.prose()
    page = await rendered(scans.written(tmp_path / "scan.pdf", scans.in_all_positions(prose)[lies]))
    assert page.correction == Correction(turned=turn, evidence=Evidence.WORDS)
    assert (page.width, page.height) == seen(page).size
    assert max(page.width, page.height) == page.height == SIDE
    assert difference(seen(page), prose) < 3


async def test_print_without_serifs_that_lies_upside_down_is_turned(tmp_path):
    page = scans.drawing(
        lambda sheet: sheet.insert_textbox((60, 60, 535, 780), scans.PROSE * 4, fontsize=11, fontname="helv")
    )
    image = await rendered(scans.written(tmp_path / "scan.pdf", scans.in_all_positions(page)[2]))
    assert image.correction == Correction(turned=180, evidence=Evidence.WORDS)


async def test_a_page_whose_own_text_runs_down_the_page_is_turned_by_it(tmp_path):
    path = scans.born_digital(tmp_path / "table.pdf", 0, 90, 180, 270)
    async with Renderer(path, SIDE, LimitSettings()) as renderer:
        pages = [await renderer.page(number) for number in (1, 2, 3, 4)]
    turns = [Correction(turned=turn, evidence=Evidence.TEXT) for turn in (270, 180, 90)]
    assert [page.correction for page in pages] == [None, *turns]
    assert max(difference(seen(page), seen(pages[0])) for page in pages) < 3


@pytest.mark.parametrize(("rotate", "shown"), [(0, 0), (90, None)])
def test_few_letters_show_that_a_page_lies_right_and_not_that_it_is_turned(rotate, shown):
    with pymupdf.open() as document:
        page = document.new_page()
        page.insert_text((300, 400), "The harbour is quiet.", rotate=rotate)
        assert text_turn(page) == shown


@pytest.mark.parametrize("degrees", [-5, -2.5, 1.5, 4])
async def test_a_skewed_scan_is_straightened_without_getting_larger(tmp_path, degrees):
    page = await rendered(scans.written(tmp_path / "scan.pdf", scans.askew(scans.prose(), degrees)))
    assert page.correction is not None
    assert page.correction.straightened == pytest.approx(-degrees, abs=0.3)
    assert abs(skew_of(seen(page))) <= 0.3
    assert max(page.width, page.height) <= SIDE


async def test_a_scan_may_be_turned_and_straightened(tmp_path):
    page = await rendered(
        scans.written(tmp_path / "scan.pdf", scans.in_all_positions(scans.askew(scans.prose(), 3))[1])
    )
    assert page.correction is not None
    assert page.correction.turned == 270
    assert abs(skew_of(seen(page))) <= 0.3


async def test_a_picture_is_put_upright_as_a_page_of_a_pdf_is(tmp_path):
    scans.in_all_positions(scans.prose())[2].save(tmp_path / "scan.png")
    page = await rendered(tmp_path / "scan.png")
    assert page.correction == Correction(turned=180, evidence=Evidence.WORDS)


async def test_colours_stay_when_a_page_is_put_upright(tmp_path):
    print_on_yellow = ImageChops.multiply(
        scans.askew(scans.prose(), 3).convert("RGB"), Image.new("RGB", (1240, 1754), (255, 240, 150))
    )
    page = await rendered(scans.written(tmp_path / "scan.pdf", print_on_yellow))
    assert page.correction is not None
    with Image.open(io.BytesIO(page.png)) as image:
        assert image.getpixel((3, 3)) == (255, 240, 150)


@pytest.mark.parametrize("make", [scans.han, *scans.NO_PRINT.values()])
async def test_a_page_whose_position_is_not_certain_stays_as_it_is(tmp_path, make):
    path = scans.written(tmp_path / "scan.pdf", *scans.in_all_positions(make()))
    async with Renderer(path, SIDE, LimitSettings()) as renderer:
        assert [(await renderer.page(number)).correction for number in (1, 2, 3, 4)] == [None] * 4


async def test_a_page_that_has_no_skew_to_speak_of_keeps_its_pixels(tmp_path):
    path = scans.written(tmp_path / "scan.pdf", scans.askew(scans.prose(), 0.7))
    page, plain = await rendered(path), await rendered(path, turn=False, straighten=False)
    assert (page.correction, page.png) == (None, plain.png)


async def test_turning_and_straightening_are_switched_off_apart(tmp_path):
    path = scans.written(tmp_path / "scan.pdf", scans.in_all_positions(scans.askew(scans.prose(), 3))[2])
    no_turn, no_skew = await rendered(path, turn=False), await rendered(path, straighten=False)
    assert no_turn.correction is not None
    assert (no_turn.correction.turned, no_turn.correction.straightened) == (0, pytest.approx(-3, abs=0.3))
    assert no_skew.correction == Correction(turned=180, evidence=Evidence.WORDS)


@pytest.mark.parametrize("answer", ["1", "__import__('os').abort()", "print('nonsense')"])
async def test_a_page_stays_as_it_is_if_the_process_that_reads_it_fails(tmp_path, monkeypatch, answer):
    monkeypatch.setattr(turn_process, "COMMAND", (sys.executable, "-S", "-c", answer))
    page = await rendered(scans.written(tmp_path / "scan.pdf", scans.in_all_positions(scans.prose())[2]))
    assert page.correction is None
    assert page.has_ink


async def test_a_page_that_is_cut_into_strips_is_not_turned(tmp_path):
    page = await rendered(scans.written(tmp_path / "long.pdf", scans.prose().resize((500, 7000))))
    assert page.strips
    assert page.correction is None
