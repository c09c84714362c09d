"""Real PDF files, good and bad, each of a few kilobytes. Every maker returns the path that it was given."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import pymupdf
from PIL import Image

A4 = (595.0, 842.0)


def written(path: Path, *texts: str, size: tuple[float, float] = A4) -> Path:
    """A page for each text; the empty text makes an empty page."""
    with pymupdf.open() as pdf:
        for text in texts:
            pdf.new_page(width=size[0], height=size[1]).insert_text((40, 60), text, fontsize=18)
        pdf.save(path)
    return path


def ending_across(path: Path, *texts: str) -> Path:
    """As `written`, and the last page is in landscape: engines of the tests can hold it back."""
    with pymupdf.open() as pdf:
        for number, text in enumerate(texts, 1):
            width, height = A4 if number < len(texts) else A4[::-1]
            pdf.new_page(width=width, height=height).insert_text((40, 60), text, fontsize=18)
        pdf.save(path)
    return path


def framed(path: Path, *sizes: tuple[float, float]) -> Path:
    """A page of each size in points, framed in black just within its edge."""
    with pymupdf.open() as pdf:
        for width, height in sizes:
            page = pdf.new_page(width=width, height=height)
            border = min(width, height) / 20
            page.draw_rect((border, border, width - border, height - border), width=border)
        pdf.save(path)
    return path


def spotted(path: Path, radius: float) -> Path:
    """An A4 page with nothing but a round black spot, its radius in points."""
    with pymupdf.open() as pdf:
        pdf.new_page().draw_circle((300, 400), radius, fill=(0, 0, 0))
        pdf.save(path)
    return path


def turned(path: Path, degrees: int) -> Path:
    """A page of 200 x 100 points, black in its upper left quarter, that its /Rotate turns clockwise."""
    with pymupdf.open() as pdf:
        page = pdf.new_page(width=200, height=100)
        page.draw_rect((0, 0, 100, 50), fill=(0, 0, 0), width=0)
        page.set_rotation(degrees)
        pdf.save(path)
    return path


def pictured(path: Path, picture: Image.Image, kind: str) -> Path:
    """A page of 100 x 100 points, covered by a picture that is stored as a PNG or JPEG."""
    stored = io.BytesIO()
    picture.save(stored, kind)
    with pymupdf.open() as pdf:
        page = pdf.new_page(width=100, height=100)
        page.insert_image(page.rect, stream=stored.getvalue())
        pdf.save(path)
    return path


def illustrated(path: Path, pages: int) -> Path:
    """Pages of 100 x 100 points, each with a picture of its own, small until it is unpacked."""
    with pymupdf.open() as pdf:
        for number in range(pages):
            stored = io.BytesIO()
            Image.new("L", (600, 600), number % 256).save(stored, "PNG")
            page = pdf.new_page(width=100, height=100)
            page.insert_image(page.rect, stream=stored.getvalue())
        pdf.save(path)
    return path


def encrypted(path: Path, text: str, password: str) -> Path:
    """A page that only the user's password opens."""
    with pymupdf.open() as pdf:
        pdf.new_page().insert_text((40, 60), text, fontsize=18)
        pdf.save(path, encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw=password, owner_pw="the owner's")
    return path


def cut_off(path: Path) -> Path:
    """Three pages, of whose bytes the last third is missing."""
    whole = written(path, "one", "two", "three").read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    return path


def misdirected(path: Path) -> Path:
    """Three pages whose startxref points nowhere, though the file ends as it should: every viewer mends that."""
    whole = written(path, "one", "two", "three").read_bytes()
    path.write_bytes(whole[: whole.rindex(b"startxref")] + b"startxref\n7\n%%EOF\n")
    return path


def garbled(path: Path) -> Path:
    """The first and the last line of a PDF, and between them nothing of one."""
    path.write_bytes(b"%PDF-1.7\n" + bytes(range(256)) * 8 + b"\n%%EOF\n")
    return path


def without_pages(path: Path) -> Path:
    """A whole PDF with an empty page tree."""
    return assembled(path, [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>"])


def with_huge_picture(path: Path, side: int) -> Path:
    """Two pages: a 1-bit picture of `side` x `side` pixels that is small as long as nobody unpacks it, and a bar."""
    packer = zlib.compressobj(1)
    rows = bytes((side + 7) // 8 * 100)
    data = b"".join([*(packer.compress(rows) for _ in range(side // 100)), packer.flush()])
    picture = b"<</Type/XObject/Subtype/Image/Width %d/Height %d" % (side, side)
    picture += b"/ColorSpace/DeviceGray/BitsPerComponent 1/Filter/FlateDecode/Length %d>>" % len(data)
    return _drawn(path, [(b"100 0 0 100 0 0 cm /X Do", stream(data, picture)), (_BAR, None)])


def with_endless_page(path: Path) -> Path:
    """Two pages: one that is drawn in 10^12 steps, and a bar."""
    # Each form draws the one before it ten times; the first object number of `_drawn`'s extras is 7.
    forms = [stream(b"0 0 1 1 re f", _form(None)), *(stream(b"/X Do " * 10, _form(7 + level)) for level in range(12))]
    return _drawn(path, [(b"/X Do", forms[-1]), (_BAR, None)], forms[:-1])


_BAR = b"0 0 100 50 re f"


def _form(draws: int | None) -> bytes:
    resources = b"" if draws is None else b"/Resources<</XObject<</X %d 0 R>>>>" % draws
    return b"<</Type/XObject/Subtype/Form/BBox[0 0 100 100]%s" % resources


def stream(data: bytes, opening: bytes = b"<<") -> bytes:
    length = b"" if b"/Length" in opening else b"/Length %d>>" % len(data)
    return opening + length + b"stream\n" + data + b"\nendstream"


def _drawn(path: Path, pages: Sequence[tuple[bytes, bytes | None]], extras: Sequence[bytes] = ()) -> Path:
    """Two pages of 100 x 100 points: what each draws, and the object X that it may draw."""
    (first, drawable), (second, _) = pages
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Contents %d 0 R/Resources<<%s>>>>"
    last = 7 + len(extras)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R 5 0 R]/Count 2>>",
        page % (4, b"/XObject<</X %d 0 R>>" % last),
        stream(first),
        page % (6, b""),
        stream(second),
        *extras,
        drawable or b"null",
    ]
    return assembled(path, objects)


def assembled(path: Path, objects: Sequence[bytes | None]) -> Path:
    """A file of these objects, numbered from 1, the first of them the catalog; None: it is missing."""
    file = bytearray(b"%PDF-1.7\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(file))
        if content is not None:
            file += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    states = (b"f" if content is None else b"n" for content in objects)
    file += b"".join(b"%010d 00000 %s \n" % each for each in zip(places, states, strict=True))
    file += b"trailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    path.write_bytes(file)
    return path
