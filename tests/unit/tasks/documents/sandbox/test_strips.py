"""Long pages are cut between lines, unreadable pages are refused, and a useless crop box is ignored."""

from __future__ import annotations

import io
from pathlib import Path

import pymupdf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from tasks.documents.sandbox.page_images import Limits, RefusedError
from tasks.documents.sandbox.page_renderer import PageRenderer
from tasks.documents.sandbox.strips import strip_points
from tests.support import pdfs

LIMITS = Limits(pages=100, image_megapixels=250)


def rendered(path: Path, longest_side: int = 1288) -> tuple[dict, list[Image.Image]]:
    header, pngs = PageRenderer(str(path), None, LIMITS).render(1, longest_side)
    return header, [Image.open(io.BytesIO(png)).convert("L") for png in pngs]


def reason(path: Path) -> str:
    with pytest.raises(RefusedError) as caught:
        rendered(path)
    return caught.value.reason


def receipt(path: Path, *, width: float = 227, length: float = 2834, turned: bool = False, skew: float = 0) -> Path:
    """Lines of print, a thin rule on either side."""
    with pymupdf.open() as pdf:
        page = pdf.new_page(width=width, height=length)
        for row in range(int(length / 14) - 1):
            at = pymupdf.Point(12, 14 * (row + 1))
            page.insert_text(at, f"Item {row:03} apples {row % 9}.{row % 97:02}", morph=(at, pymupdf.Matrix(skew)))
        for x in (3, width - 3):
            page.draw_line((x, 0), (x, length), width=0.7)
        if turned:
            page.set_rotation(90)
        pdf.save(path)
    return path


def as_scan(path: Path) -> Path:
    """Return the same page as one picture, without a text layer."""
    with pymupdf.open(path) as pdf, pymupdf.open() as scan:
        pixels = pdf[0].get_pixmap(dpi=150, colorspace=pymupdf.csGRAY)
        page = scan.new_page(width=pdf[0].rect.width, height=pdf[0].rect.height)
        page.insert_image(page.rect, pixmap=pixels)
        scan.save(path.with_name("scan.pdf"), deflate=True)
    return path.with_name("scan.pdf")


@pytest.mark.parametrize("scanned", [False, True])
def test_a_long_receipt_is_cut_between_its_lines_and_stitched_completely(tmp_path, scanned):
    path = receipt(tmp_path / "receipt.pdf")
    header, images = rendered(as_scan(path) if scanned else path)
    assert 5 <= len(images) <= 6
    assert header["dpi"] > 140
    assert all(part["clean"] and part["overlap"] == 0 for part in header["images"])
    whole = Image.new("L", (header["width"], header["height"]), 255)
    top = 0
    for image in images:
        edges = (
            image.crop((30, 0, image.width - 30, 1)),
            image.crop((30, image.height - 1, image.width - 30, image.height)),
        )
        assert all(edge.getextrema()[0] > 128 for edge in edges), "a line is cut"
        whole.paste(image, (0, top))
        top += image.height
    assert abs(top - header["height"]) <= 1
    assert max(image.height for image in images) <= 1288


def test_a_page_on_its_side_is_cut_across_its_width(tmp_path):
    header, images = rendered(receipt(tmp_path / "receipt.pdf", turned=True))
    assert 5 <= len(images) <= 6
    assert all(image.width <= 1288 for image in images)
    assert header["width"] > header["height"]


def test_where_no_seam_is_found_strips_overlap(tmp_path):
    """Lines that rise by more than their distance leave no blank row."""
    header, images = rendered(as_scan(receipt(tmp_path / "receipt.pdf", width=300, skew=6)))
    assert any(part["overlap"] > 0.1 and not part["clean"] for part in header["images"])
    assert sum(image.height for image in images) > header["height"]


@given(st.floats(1, 14400), st.floats(1, 14400))
def test_strips_are_shorter_than_their_page(width, height):
    strip = strip_points(width, height)
    assert strip is None or strip < max(width, height)


@pytest.mark.parametrize(
    "size", [(595, 842), (842, 595), (612, 1008), (842, 1191), (960, 540), (3370, 2384), (200, 600)]
)
def test_usual_pages_are_not_cut(size):
    assert strip_points(*size) is None


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((14_400, 1), "illegible"),
        ((1, 14_400), "illegible"),
        ((1_000_000, 1), "size"),
        ((1, 1_000_000), "size"),
        ((1_000_000, 1_000_000), "size"),
    ],
)
def test_a_page_without_a_readable_image_is_refused(tmp_path, size, expected):
    page = f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {size[0]} {size[1]}]/Contents 4 0 R>>"
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page.encode()]
    path = pdfs.assembled(tmp_path / "page.pdf", [*objects, pdfs.stream(b"0 0 9 9 re f")])
    assert reason(path) == expected


# Crop boxes


def cropped(path: Path, boxes: str, *, above: str = "") -> Path:
    """A page of 400 x 300 points that says Hello at its left."""
    page = f"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>{boxes}>>"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[3 0 R]/Count 1{above}>>".encode(),
        page.encode(),
        pdfs.stream(b"BT /F1 24 Tf 40 200 Td (Hello brave reader) Tj ET"),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    return pdfs.assembled(path, objects)


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize(
    ("boxes", "above"),
    [
        ("/MediaBox[0 0 400 300]/CropBox[1000 1000 1200 1200]", ""),
        ("/MediaBox[0 0 400 300]/CropBox[1200 1200 1000 1000]", ""),
        ("/MediaBox[400 300 0 0]/CropBox[50 50 50 200]", ""),
        ("", "/MediaBox[0 0 400 300]/CropBox[-500 -500 -100 -100]"),
    ],
)
def test_a_crop_box_that_shows_nothing_is_ignored_and_flagged(tmp_path, boxes, above, rotate):
    path = cropped(tmp_path / "page.pdf", f"{boxes}/Rotate {rotate}", above=above)
    header, (image,) = rendered(path, 400)
    assert [name for name, _ in header["flags"]] == ["cropped"]
    assert image.size == ((400, 300) if rotate % 180 == 0 else (300, 400))
    assert header["images"][0]["ink"] > 0.01


@pytest.mark.parametrize("box", ["[0 0 400 300]", "[300 250 20 100]", "[-50 -50 300 300]", "[20 100 320.5 250.25]"])
@pytest.mark.parametrize("rotate", [0, 90])
def test_a_crop_box_that_shows_something_is_used(tmp_path, box, rotate):
    header, _ = rendered(cropped(tmp_path / "page.pdf", f"/MediaBox[0 0 400 300]/CropBox{box}/Rotate {rotate}"))
    assert header["flags"] == []


@pytest.mark.parametrize("box", ["", "/MediaBox[0 0 0 0]"])
def test_a_page_without_a_size_is_flagged(tmp_path, box):
    header, _ = rendered(cropped(tmp_path / "page.pdf", box))
    assert [name for name, _ in header["flags"]] == ["cropped"]


def test_a_page_in_one_image_has_no_strips(tmp_path):
    """An ordinary page is one image, drawn at once."""
    header, (image,) = rendered(cropped(tmp_path / "page.pdf", "/MediaBox[0 0 400 300]"), 400)
    with pymupdf.open(tmp_path / "page.pdf") as pdf:
        pixmap = pdf[0].get_pixmap(colorspace=pymupdf.csGRAY)
    assert ImageChops.difference(image, Image.frombytes("L", (400, 300), pixmap.samples)).getbbox() is None
    assert header["images"][0]["clean"]
