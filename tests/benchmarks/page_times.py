"""How long each page takes, drawn once for every rival, and the mark on a page that says which one it is.

The page server gets images, in any order and from any client. So that page n takes as long for one rival as for
another, its number is in the image's first row of pixels: a strip of black and white cells along the upper edge.
"""

from __future__ import annotations

import heapq
import json
import math
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import pymupdf

# Quicker than this, on a machine with other work, the flow would count fewer slots than there are.
_WARM_UP_SECONDS = 0.2
_NUMBER_BITS = 16
_CHECK_BITS = 4
_HEAD, _TAIL = (1, 0, 1), (0, 1)
_CELLS = len(_HEAD) + _NUMBER_BITS + _CHECK_BITS + len(_TAIL)
_CHANNELS = {0: 1, 2: 3, 6: 4}


@dataclass(frozen=True)
class PageTimes:
    """Seconds that pages take; `sigma` 0 gives each the median, more a lognormal distribution about it."""

    median: float
    sigma: float = 0.0
    seed: int = 1

    def of(self, number: int) -> float:
        """The time of one page, whatever the others are; 0 stands for what is no page, such as a warm-up."""
        if not number:
            return max(self.median, _WARM_UP_SECONDS)
        if not self.sigma:
            return self.median
        return random.Random(f"{self.seed}:{number}").lognormvariate(math.log(self.median), self.sigma)

    def ideal(self, pages: int, slots: int) -> float:
        """The makespan of list scheduling: each page, in order, goes to the slot that is free first."""
        free = [0.0] * slots
        for number in range(1, pages + 1):
            heapq.heapreplace(free, free[0] + self.of(number))
        return max(free)

    @cached_property
    def name(self) -> str:
        """For people."""
        return f"{self.median:g} s, sigma {self.sigma:g}" if self.sigma else f"{self.median:g} s"

    def dumped(self) -> str:
        """For another process."""
        return json.dumps(asdict(self))


def loaded(text: str) -> PageTimes:
    """What `dumped` wrote."""
    return PageTimes(**json.loads(text))


def write_pdf(path: Path, pages: int, first: int = 1) -> None:
    """A PDF of so many pages of text, each its own and marked with its number; the first page's is `first`."""
    line = "The oven is lit once, every shelf is filled, and the fire goes out when the last order is done. "
    with pymupdf.open() as pdf:
        for number in range(first, first + pages):
            page = pdf.new_page()
            page.insert_textbox(pymupdf.Rect(50, 50, 545, 792), f"Page {number}. " + line * 30, fontsize=11)
            width = page.rect.width / _CELLS
            shape = page.new_shape()
            for position, bit in enumerate(_marked(number)):
                if bit:
                    shape.draw_rect(pymupdf.Rect(position * width, -5, (position + 1) * width, 6))
            shape.finish(color=None, fill=(0, 0, 0))
            shape.commit()
        pdf.save(path)


def number_of(png: bytes) -> int:
    """The number of the page on an image; 0 if it has no mark."""
    row, channels = _first_row(png)
    width = len(row) // channels
    bits = tuple(int(row[int((position + 0.5) * width / _CELLS) * channels] < 128) for position in range(_CELLS))
    number = sum(bit << place for place, bit in enumerate(bits[len(_HEAD) : len(_HEAD) + _NUMBER_BITS]))
    return number if bits == _marked(number) else 0


def _marked(number: int) -> tuple[int, ...]:
    digits = [number >> place & 1 for place in range(_NUMBER_BITS)]
    check = number * 7 % 13
    return (*_HEAD, *digits, *(check >> place & 1 for place in range(_CHECK_BITS)), *_TAIL)


def _first_row(png: bytes) -> tuple[bytes, int]:
    """The first row of pixels of an 8-bit PNG, without decoding the others."""
    width, _, depth, colour = struct.unpack(">IIBB", png[16:26])
    if depth != 8 or colour not in _CHANNELS:
        raise ValueError(f"a PNG of {depth} bits and colour type {colour}")
    channels = _CHANNELS[colour]
    size = width * channels
    inflate, row = zlib.decompressobj(), b""
    for data in _idat(png):
        row += inflate.decompress(data, size + 1 - len(row))
        if len(row) > size:
            break
    how, row = row[0], row[1:]
    if how in {0, 2}:  # nothing lies above the first row
        return row, channels
    plain = bytearray(row)
    for place in range(channels, size):
        left = plain[place - channels]
        plain[place] = (plain[place] + (left // 2 if how == 3 else left)) & 255
    return bytes(plain), channels


def _idat(png: bytes) -> Iterator[bytes]:
    place = 8
    while place < len(png):
        length, kind = struct.unpack(">I4s", png[place : place + 8])
        if kind == b"IDAT":
            yield png[place + 8 : place + 8 + length]
        place += 12 + length
