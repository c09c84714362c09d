"""PDFs of three pages whose second page is damaged in one way each; the others read "Leaf number 1" and "3"."""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tests.support.pdfs import assembled, stream

SIZE = (400, 300)
LINES = tuple(f"Line {word} of the middle page" for word in ("one", "two", "three", "four", "five", "six", "seven"))

Damage = Callable[[bytes], bytes]

# How bytes are damaged.


def cut(data: bytes) -> bytes:
    """Only the first half is left."""
    return data[: len(data) // 2]


def emptied(_data: bytes) -> bytes:
    """Nothing is left."""
    return b""


def zeroed(data: bytes) -> bytes:
    """All but the first bytes are zeros, as in a file that was not fetched to its end."""
    return data[:2] + bytes(len(data) - 2)


def holed(data: bytes) -> bytes:
    """The middle third is zeros."""
    third = len(data) // 3
    return data[:third] + bytes(third) + data[2 * third :]


def scrambled(data: bytes) -> bytes:
    """Other bytes, as many."""
    return random.Random(7).randbytes(len(data))


DAMAGES: dict[str, Damage] = {d.__name__: d for d in (cut, emptied, zeroed, holed, scrambled)}

# What the middle page is made of.


def text_of(lines: Sequence[str] = LINES) -> bytes:
    """A content stream that writes lines."""
    shown = "".join(f"({line}) Tj T*\n" for line in lines)
    return f"BT /F1 20 Tf 40 260 Td 30 TL\n{shown}ET\n".encode()


def scan(lines: Sequence[str] = LINES) -> Image.Image:
    """The lines as a picture of one bit a pixel, at 144 dots an inch."""
    image = Image.new("L", (SIZE[0] * 2, SIZE[1] * 2), 255)
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        draw.text((80, 60 + 60 * row), line, fill=0, font=ImageFont.load_default(36))
    return image.point(lambda shade: 255 if shade > 127 else 0).convert("1", dither=Image.Dither.NONE)


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    stored = io.BytesIO()
    image.save(stored, kind, **options)
    return stored.getvalue()


def _fax(image: Image.Image) -> bytes:
    """The strip of a TIFF in Group 4."""
    tiff = _saved(image, "TIFF", compression="group4", strip_size=10_000_000)
    with Image.open(io.BytesIO(tiff)) as stored:
        at, size = stored.tag_v2[273][0], stored.tag_v2[279][0]  # type: ignore[attr-defined] # a TIFF's own
    return tiff[at : at + size]


def _jbig2(image: Image.Image) -> bytes:
    """A page and one generic region, coded as Group 4 is (MMR), as PDF embeds it."""
    width, height = image.size

    def segment(number: int, kind: int, data: bytes) -> bytes:
        return struct.pack(">IBBBI", number, kind, 0, 1, len(data)) + data

    page = struct.pack(">IIIIBH", width, height, 0, 0, 0, 0)
    region = struct.pack(">IIIIBB", width, height, 0, 0, 0, 1) + _fax(image)
    return segment(0, 48, page) + segment(1, 38, region)


def _pixels(image: Image.Image, extra: str, data: bytes) -> tuple[str, bytes]:
    return f"/Type/XObject/Subtype/Image/Width {image.width}/Height {image.height}{extra}", data


def pictures(image: Image.Image | None = None) -> dict[str, tuple[str, bytes]]:
    """The picture, coded by each filter: its dictionary's entries, and its data."""
    bits = image or scan()
    grey = bits.convert("L")
    grey_8, grey_1 = "/ColorSpace/DeviceGray/BitsPerComponent 8", "/ColorSpace/DeviceGray/BitsPerComponent 1"
    fax = f"/DecodeParms<</K -1/Columns {bits.width}/Rows {bits.height}>>"
    raw = grey.tobytes()
    return {
        "flate": _pixels(grey, f"{grey_8}/Filter/FlateDecode", zlib.compress(raw)),
        "jpeg": _pixels(grey, f"{grey_8}/Filter/DCTDecode", _saved(grey, "JPEG", quality=60)),
        "progressive": _pixels(grey, f"{grey_8}/Filter/DCTDecode", _saved(grey, "JPEG", progressive=True)),
        "jpx": _pixels(grey, "/Filter/JPXDecode", _saved(grey, "JPEG2000")),
        "jbig2": _pixels(bits, f"{grey_1}/Filter/JBIG2Decode", _jbig2(bits)),
        "fax": _pixels(bits, f"{grey_1}/Filter/CCITTFaxDecode{fax}", _fax(bits)),
        "ascii85": _pixels(
            grey, f"{grey_8}/Filter[/ASCII85Decode/FlateDecode]", base64.a85encode(zlib.compress(raw)) + b"~>"
        ),
    }


# Documents.


def document(
    path: Path,
    contents: bytes | None,
    resources: str = "/Font<</F1 3 0 R>>",
    *extras: bytes,
    page: bytes | None = None,
) -> Path:
    """Three pages; what stands for the middle one's contents (object 8) and its resources; more objects from 11.

    Args:
        path: of the file.
        contents: the object, a stream as a rule; None: it is missing, though the page names it.
        resources: of the middle page.
        extras: further objects.
        page: instead of the middle page's object; b"" if it is missing.
    """
    box = f"/MediaBox[0 0 {SIZE[0]} {SIZE[1]}]"
    own = "/Resources<</Font<</F1 3 0 R>>>>"

    def leaf(number: int) -> bytes:
        return stream(f"BT /F1 24 Tf 40 150 Td (Leaf number {number} of three) Tj ET".encode())

    def sheet(content: int, resources: str) -> bytes:
        return f"<</Type/Page/Parent 2 0 R{box}/Contents {content} 0 R{resources}>>".encode()

    middle = sheet(8, f"/Resources<<{resources}>>") if page is None else page or None
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[4 0 R 5 0 R 6 0 R]/Count 3>>",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        sheet(7, own),
        middle,
        sheet(9, own),
        leaf(1),
        contents,
        leaf(3),
        b"null",
        *extras,
    ]
    return assembled(path, objects)


def written(path: Path, damage: Damage, *, packed: bool = True) -> Path:
    """The middle page's content stream is damaged; `packed`: its compressed bytes are."""
    if packed:
        data = damage(zlib.compress(text_of()))
        return document(path, stream(data, b"<</Filter/FlateDecode"))
    return document(path, stream(damage(text_of())))


def pictured(path: Path, kind: str, damage: Damage = bytes) -> Path:
    """The middle page is a scan, coded by a filter of `pictures` and damaged."""
    entries, data = pictures()[kind]
    shown = stream(f"{SIZE[0]} 0 0 {SIZE[1]} 0 0 cm /I Do".encode())
    return document(path, shown, "/XObject<</I 11 0 R>>", stream(damage(data), f"<<{entries}".encode()))
