"""Pages as images: size, colours, and ink."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.documents.page_image import PageImage
from tasks.documents.sandbox.raster import ink_fraction, png_of, scale_for
from tests.support import pdfs
from tests.unit.tasks.documents.rendering import rendered

pytestmark = pytest.mark.usefixtures("one_sandbox")

WHITE, BLACK = (255, 255, 255), (0, 0, 0)


def opened(image: PageImage) -> Image.Image:
    return Image.open(io.BytesIO(image.png)).convert("RGB")


def alike(one: Any, other: Any, tolerance: int = 6) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(one, other, strict=True))


# Size


@pytest.mark.parametrize(
    ("size", "pixels"), [((595, 842), (566, 800)), ((842, 595), (800, 566)), ((50, 50), (800, 800))]
)
async def test_the_longest_side_has_the_requested_pixels(tmp_path, size, pixels):
    image = await rendered(pdfs.framed(tmp_path / "page.pdf", size), longest_side=800)
    assert alike((image.width, image.height), pixels, 1)
    assert opened(image).size == (image.width, image.height)


async def test_the_resolution_is_in_dots_per_inch(tmp_path):
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
async def test_a_page_is_turned_by_its_rotation(tmp_path, degrees, dark):
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
async def test_transparency_shows_white_paper(tmp_path, paint, seen):
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
    """A model is asked about it, and its answer may be empty."""
    image = await rendered(pdfs.spotted(tmp_path / "speck.pdf", 0.5), longest_side=1288)
    assert not image.blank
    assert not image.has_ink


@given(st.integers(0, 255), st.integers(0, 255), st.integers(1, 99))
def test_ink_is_zero_only_if_all_pixels_are_equal(paper, pen, pixels):
    image = Image.new("RGB", (100, 10), (paper,) * 3)
    image.paste((pen,) * 3, (0, 0, pixels, 1))
    assert (ink_fraction(image) == 0) == (paper == pen)


@given(st.integers(1, 400))
def test_white_on_black_is_ink_as_well_as_black_on_white(pixels):
    image = Image.new("L", (1000, 1), 255)
    image.paste(0, (0, 0, pixels, 1))
    negative = image.point(lambda shade: 255 - shade)
    assert ink_fraction(image) == ink_fraction(negative) == pytest.approx(pixels / 1000)


# The image file


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["L", "RGB"]), st.data())
def test_a_png_holds_every_pixel_as_it_is(width, height, mode, data):
    size = width * height * len(mode)
    pixels = data.draw(st.binary(min_size=size, max_size=size))
    image = Image.frombytes(mode, (width, height), pixels)
    with Image.open(io.BytesIO(png_of(image))) as read:
        assert (read.format, read.mode, read.size, read.tobytes()) == ("PNG", mode, (width, height), pixels)
