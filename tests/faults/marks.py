"""Documents of which every page tells, in blocks of black and white, which one it is, and what the right text is.

An engine reads the blocks off the image, so that its answer depends on the page that was sent and on nothing else.
"""

from __future__ import annotations

import base64
import binascii
import json
import random
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pymupdf
from PIL import Image

_COLUMNS, _ROWS = 8, 6
_SIZE = (200.0, 280.0)
_WORDS = ("ash", "bread", "coal", "dough", "ember", "flame", "grate", "iron", "kiln", "log", "oven", "smoke", "tinder")


@dataclass(frozen=True, order=True)
class Page:
    """A page of a document, both counted from 1 and below 65,536."""

    document: int
    number: int

    @property
    def text(self) -> str:
        """What is right to answer to it; no two pages have the same."""
        chance = random.Random(f"{self.document}:{self.number}")
        words = " ".join(chance.choice(_WORDS) for _ in range(chance.randint(5, 60)))
        return f"Page {self.number} of document {self.document}. {words}."


def document(directory: Path, identifier: int, pages: int) -> Path:
    """A PDF of so many pages; one that is there is left, since no two are made of the same bytes."""
    path = directory / f"document-{identifier:05d}.pdf"
    if path.exists():
        return path
    width, height = _SIZE[0] / _COLUMNS, _SIZE[1] / _ROWS
    with pymupdf.open() as pdf:
        for number in range(1, pages + 1):
            shape = pdf.new_page(width=_SIZE[0], height=_SIZE[1]).new_shape()
            for place, bit in enumerate(_bits(Page(identifier, number))):
                if bit:
                    left, top = place % _COLUMNS * width, place // _COLUMNS * height
                    shape.draw_rect(pymupdf.Rect(left, top, left + width, top + height))
            shape.finish(color=None, fill=(0, 0, 0))
            shape.commit()
        pdf.save(path)
    return path


def page_on(image: bytes) -> Page | None:
    """Which page an image shows; None if it is none of these."""
    with Image.open(BytesIO(image)) as opened:
        grey = opened.convert("L")
    width, height = grey.width / _COLUMNS, grey.height / _ROWS
    places = [((place % _COLUMNS + 0.5) * width, (place // _COLUMNS + 0.5) * height) for place in range(48)]
    bits = [grey.getpixel((int(x), int(y))) < 128 for x, y in places]
    value = sum(bit << place for place, bit in enumerate(bits))
    found = Page(value & 0xFFFF, value >> 16 & 0xFFFF)
    return found if value >> 32 == _check(found) else None


def page_asked(body: bytes) -> Page | None:
    """Which page a request to /api/generate shows; None if it shows none."""
    try:
        (image,) = json.loads(body)["images"]
        return page_on(base64.b64decode(image))
    except (ValueError, KeyError, TypeError, binascii.Error, OSError):
        return None


def _bits(page: Page) -> list[bool]:
    value = page.document | page.number << 16 | _check(page) << 32
    return [bool(value >> place & 1) for place in range(48)]


def _check(page: Page) -> int:
    return zlib.crc32(struct.pack(">HH", page.document, page.number)) & 0xFFFF
