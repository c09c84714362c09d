"""Pictures are documents: opened and rendered in the sandboxed process, whatever their format, colours or name."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tasks.core.errors import DocumentError, FailureReason, IncompleteError, LimitError
from tasks.core.flags import FlagName
from tasks.documents.page_image import PageImage
from tasks.documents.pdf import open_document
from tasks.documents.render import Renderer
from tasks.settings.reading import LimitSettings
from tests.support import pdfs, picture_files
from tests.unit.tasks.documents.rendering import fails, rendered

pytestmark = pytest.mark.usefixtures("one_sandbox")

LIMITS = LimitSettings()
SUFFIXES = tuple(picture_files.FORMATS)


def seen(page: PageImage) -> Image.Image:
    return Image.open(io.BytesIO(page.png)).convert("L")


def is_corner(page: PageImage) -> bool:
    """Return whether exactly the upper left quarter is dark."""
    image = seen(page)
    places = [(x, y) for y in (0.25, 0.75) for x in (0.25, 0.75)]
    dark = [image.getpixel((round(image.width * x), round(image.height * y))) < 100 for x, y in places]
    return dark == [True, False, False, False]


def noise(width: int = 400, height: int = 200) -> Image.Image:
    return Image.effect_noise((width, height), 90)


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_a_picture_is_a_document_of_one_page(tmp_path, suffix):
    path = picture_files.stored(tmp_path / f"scan{suffix}")
    document = open_document(path, LIMITS)
    assert (document.pages, document.size, document.name) == (1, path.stat().st_size, "scan")
    page = await rendered(path)
    assert is_corner(page)
    assert (page.width, page.height, page.flags) == (400, 200, ())


@pytest.mark.parametrize("suffix", SUFFIXES)
async def test_a_picture_is_turned_by_its_orientation(tmp_path, suffix):
    for orientation in range(1, 9):
        page = await rendered(picture_files.as_camera_held_it(tmp_path / f"{orientation}{suffix}", orientation))
        assert (page.width, page.height) == (400, 200), orientation
        assert is_corner(page), orientation


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
async def test_exif_data_that_are_garbage_do_not_matter(tmp_path, suffix):
    path = picture_files.stored(tmp_path / f"scan{suffix}", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(range(60)))
    assert is_corner(await rendered(path))


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGBA", "LA", "I;16"])
async def test_all_colours_look_alike(tmp_path, mode):
    image = picture_files.corner().convert("L" if mode in {"I;16", "1"} else "RGB" if mode != "LA" else "L")
    image = (
        image.convert("I").point(lambda value: value * 257).convert("I;16") if mode == "I;16" else image.convert(mode)
    )
    page = await rendered(picture_files.stored(tmp_path / "scan.tif", image))
    assert is_corner(page)
    assert sorted({seen(page).getpixel(at) for at in ((5, 5), (395, 195))}) == pytest.approx([0, 255], abs=2)


async def test_white_of_twelve_bits_is_white(tmp_path):
    image = picture_files.corner().convert("I").point(lambda value: value * 16).convert("I;16")
    assert is_corner(await rendered(picture_files.stored(tmp_path / "scan.tif", image)))


async def test_what_is_transparent_is_white(tmp_path):
    image = picture_files.corner().convert("RGBA")
    image.putalpha(image.convert("L").point(lambda value: 255 - value))
    image.paste((0, 0, 0, 0), (200, 0, 400, 200))
    assert is_corner(await rendered(picture_files.stored(tmp_path / "scan.png", image)))


@pytest.mark.parametrize(
    "compression", ["group3", "group4", "tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg", "zstd"]
)
async def test_a_tiff_is_read_with_each_of_its_compressions(tmp_path, compression):
    image = picture_files.corner().convert("1" if compression.startswith("group") else "RGB")
    assert is_corner(await rendered(picture_files.stored(tmp_path / "fax.tif", image, compression=compression)))


async def test_each_page_of_a_tiff_is_one(tmp_path):
    path = picture_files.pages(tmp_path / "scan.tif", 3, compression="tiff_lzw")
    assert open_document(path, LIMITS).pages == 3
    async with Renderer(path, 1000, LIMITS) as renderer:
        assert [(await renderer.page(number)).width for number in (3, 1, 2)] == [480, 400, 440]


async def test_a_fax_of_half_resolution_has_the_shape_of_its_paper(tmp_path):
    path = picture_files.stored(tmp_path / "fax.tif", picture_files.corner(408, 196).convert("1"), dpi=(204, 98))
    page = await rendered(path, longest_side=200)
    assert (page.width, page.height) == (200, 200)
    assert is_corner(page)


@pytest.mark.parametrize(("dpi", "counts"), [(0, False), (1, False), (72, False), (96, False), (300, True)])
async def test_a_resolution_counts_if_scanners_have_it(tmp_path, dpi, counts):
    path = picture_files.stored(tmp_path / "scan.tif", picture_files.corner(1000, 1400), dpi=(dpi, dpi))
    page = await rendered(path, longest_side=700)
    assert page.dpi == pytest.approx(150 if counts else 500 * 72 / 595)


async def test_a_small_picture_is_enlarged_twice_at_most(tmp_path):
    page = await rendered(
        picture_files.stored(tmp_path / "stamp.png", picture_files.corner(100, 50)), longest_side=1288
    )
    assert (page.width, page.height) == (200, 100)


async def test_a_long_screenshot_is_read_in_strips(tmp_path):
    image = Image.new("L", (400, 4000), 255)
    draw = ImageDraw.Draw(image)
    for row in range(100):
        draw.text((10, 40 * row + 10), f"line {row} of a long page", fill=0)
    page = await rendered(picture_files.stored(tmp_path / "chat.png", image), longest_side=600)
    assert len(page.strips) > 3
    assert sum(strip.height for strip in page.strips) == pytest.approx(page.height, rel=0.01)


async def test_only_the_first_picture_of_an_animation_is_read_and_the_page_says_so(tmp_path):
    path = picture_files.stored(
        tmp_path / "moving.webp", save_all=True, append_images=[Image.new("RGB", (400, 200), "red")], lossless=True
    )
    assert open_document(path, LIMITS).pages == 1
    page = await rendered(path)
    assert is_corner(page)
    assert [flag.name for flag in page.flags] == [FlagName.UNDECODED]


async def test_the_content_decides_and_not_the_suffix(tmp_path):
    jpeg = picture_files.stored(tmp_path / "made.jpg").rename(tmp_path / "scan.pdf")
    assert is_corner(await rendered(jpeg))
    pdf = pdfs.written(tmp_path / "made.pdf", "one", "two").rename(tmp_path / "scan.png")
    assert open_document(pdf, LIMITS).pages == 2


async def test_a_bomb_fails_before_it_is_unpacked(tmp_path):
    async with Renderer(picture_files.huge_png(tmp_path / "bomb.png"), 400, LIMITS) as renderer:
        error = await fails(renderer, 1, FailureReason.SIZE)
    assert "60000 x 60000 pixels; the limit is 250 megapixels" in str(error)


async def test_of_a_jpeg_whose_header_promises_more_what_there_is_is_read(tmp_path):
    image = seen(await rendered(picture_files.lying_jpeg(tmp_path / "scan.jpg", 400, 800), longest_side=800))
    assert image.size == (400, 800)
    assert (image.getpixel((100, 50)), image.getpixel((300, 150))) == pytest.approx((0, 255), abs=3)


async def test_a_jpeg_with_a_hole_is_flagged(tmp_path):
    path = picture_files.stored(tmp_path / "scan.jpg", noise())
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    path.write_bytes(data)
    assert FlagName.DAMAGED in [flag.name for flag in (await rendered(path)).flags]


async def test_a_jpeg_whose_header_lies_beyond_the_limit_fails(tmp_path):
    async with Renderer(picture_files.lying_jpeg(tmp_path / "scan.jpg", 65_000, 65_000), 400, LIMITS) as renderer:
        await fails(renderer, 1, FailureReason.SIZE)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
async def test_a_picture_without_its_end_is_flagged(tmp_path, suffix):
    path = picture_files.cut(picture_files.stored(tmp_path / f"scan{suffix}", noise().convert("RGB")))
    page = await rendered(path)
    assert [flag.name for flag in page.flags] == [FlagName.DAMAGED]


def test_a_webp_without_its_end_is_refused(tmp_path):
    path = picture_files.cut(picture_files.stored(tmp_path / "scan.webp", noise().convert("RGB")))
    with pytest.raises(IncompleteError, match="damaged and cannot be opened as a WebP"):
        open_document(path, LIMITS)


def test_a_tiff_that_lacks_its_last_pages_is_refused(tmp_path):
    path = picture_files.cut(picture_files.directories(tmp_path / "scan.tif", 10), 0.7)
    with pytest.raises(IncompleteError, match=r"scan\.tif is damaged"):
        open_document(path, LIMITS)


@pytest.mark.parametrize("count", [1, 5])
def test_a_tiff_whose_pages_run_in_a_circle_is_refused(tmp_path, count):
    path = picture_files.directories(tmp_path / "circle.tif", count, last=10)
    with pytest.raises(IncompleteError, match=r"circle\.tif is damaged and cannot be opened as a TIFF"):
        open_document(path, LIMITS)


def test_a_tiff_of_a_hundred_thousand_pages_exceeds_the_limit(tmp_path):
    with pytest.raises(LimitError, match="pages; the limit is 2000"):
        open_document(picture_files.directories(tmp_path / "many.tif", 100_000), LimitSettings(pages=2000))


def _head(*parts: bytes) -> bytes:
    return b"".join(parts).ljust(3000, b"\0")


ZIP = b"PK\x03\x04" + bytes(26)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (_head(ZIP, b"[Content_Types].xml", bytes(1500), b"word/document.xml"), "a Word document", "Export it as PDF"),
        (_head(ZIP, b"[Content_Types].xml", bytes(1500), b"xl/workbook.xml"), "an Excel workbook", "Export it as PDF"),
        (_head(ZIP, b"ppt/presentation.xml"), "a PowerPoint presentation", "Export it as PDF"),
        (_head(ZIP, b"mimetypeapplication/epub+zip"), "an EPUB book", "ebook-convert"),
        (_head(ZIP, b"photos/a.jpg"), "a ZIP archive", "Unpack it"),
        (_head(OLE), "an Office document", "Export it as PDF"),
        (_head(OLE, "EncryptedPackage".encode("utf-16-le")), "an encrypted Office document", "Remove its password"),
        (_head(b"\0\0\0\x18ftypheic"), "a HEIC picture", "heif-convert"),
        (_head(b"\0\0\0\x18ftypavif"), "an AVIF picture", "avifdec"),
        (_head(b"AT&TFORM\0\0\0\0DJVU"), "a DjVu document", "ddjvu"),
        (_head(b"GIF89a"), "a GIF picture", "Convert it"),
        (_head(b"\0\0\0\x0cjP  \r\n\x87\n"), "a JPEG 2000 picture", "opj_decompress"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing", "rsvg-convert"),
        (b"<!DOCTYPE html><html></html>", "a web page", "Print it to a PDF"),
        (b"%!PS-Adobe-3.0", "a PostScript document", "ps2pdf"),
        ("Grüße aus der Textdatei".encode(), "text", "Name a document"),
        (bytes(range(256)), "is not a PDF or picture (PNG, JPEG, TIFF or WebP)", "Name a document"),
    ],
)
def test_another_file_is_refused_by_its_content_with_what_to_do(tmp_path, content, what, remedy):
    path = tmp_path / "letter.jpg"
    path.write_bytes(content)
    with pytest.raises(DocumentError) as caught:
        open_document(path, LIMITS)
    assert str(caught.value).startswith(f"{path} is not a PDF or picture")
    assert what in str(caught.value)
    assert remedy in str(caught.value)
    assert caught.value.exit_code == 2


def test_an_empty_file_is_refused(tmp_path: Path):
    (tmp_path / "scan.png").touch()
    with pytest.raises(IncompleteError, match="is empty"):
        open_document(tmp_path / "scan.png", LIMITS)
