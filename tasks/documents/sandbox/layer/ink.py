"""Compare a page's image with its text layer: words without ink, ink without words, and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pymupdf
from PIL import Image, ImageChops

from tasks.documents.sandbox.layer.lines import Box

_mupdf = pymupdf.mupdf
# Of 255: a contrast that is seen, and one that an edge of print has.
_SEEN, _EDGE = 16, 48
_PIXELS = 1000
_ROUNDING = 2
_SMALL = 12
_MOST_PICTURES = 200


Word = tuple[float, float, float, float, str, int, int, int]
"""A word as `TextPage.extractWORDS` returns it: its box in points, on the page as it is shown, and its text."""


@dataclass(frozen=True, slots=True)
class PrintedLine:
    """The words of a line, and the box around them in points."""

    words: Sequence[Word]
    box: Box

    @classmethod
    def of(cls, words: Sequence[Word]) -> PrintedLine:
        """Return a line of words."""
        lefts, tops, rights, bottoms, *_ = zip(*words, strict=True)
        return cls(words, (min(lefts), min(tops), max(rights), max(bottoms)))


class _Pictures(pymupdf.mupdf.FzDevice2):  # type: ignore[misc]  # pymupdf has no types
    """A device that notes where pictures and shadings are drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.boxes: list[Box] = []
        self.use_virtual_fill_image()
        self.use_virtual_fill_image_mask()

    def _note(self, matrix: Any) -> None:  # noqa: ANN401 - pymupdf has no types
        if len(self.boxes) < _MOST_PICTURES:
            unit = _mupdf.FzRect(_mupdf.FzRect.Fixed_UNIT)
            rect = _mupdf.ll_fz_transform_rect(unit.internal(), matrix)
            self.boxes.append((rect.x0, rect.y0, rect.x1, rect.y1))

    def fill_image(self, _context: Any, _image: Any, matrix: Any, *_: Any) -> None:  # noqa: ANN401 - as above
        """Note a picture; MuPDF calls this."""
        self._note(matrix)

    def fill_image_mask(self, _context: Any, _image: Any, matrix: Any, *_: Any) -> None:  # noqa: ANN401 - as above
        """Note a stencil; MuPDF calls this."""
        self._note(matrix)


def pictures(drawn: pymupdf.DisplayList) -> list[Box]:
    """Return the boxes of a page's pictures."""
    device = _Pictures()
    _mupdf.fz_run_display_list(
        drawn.this, device, _mupdf.FzMatrix(), _mupdf.FzRect(_mupdf.FzRect.Fixed_INFINITE), _mupdf.FzCookie()
    )
    _mupdf.fz_close_device(device)
    return device.boxes


class Glance:
    """A small grey drawing of a page."""

    def __init__(self, drawn: pymupdf.DisplayList, width: float, height: float) -> None:
        self._scale = min(1.5, _PIXELS / max(width, height))
        matrix = pymupdf.Matrix(self._scale, self._scale)
        pixmap = drawn.get_pixmap(matrix=matrix, colorspace=pymupdf.csGRAY, alpha=False)
        self.image = Image.frombytes("L", (pixmap.width, pixmap.height), pixmap.samples)
        left, upper = ImageChops.offset(self.image, 1, 0), ImageChops.offset(self.image, 0, 1)
        # How much each pixel differs from the one to its left, and from the one above.
        self._across, self._down = ImageChops.difference(self.image, left), ImageChops.difference(self.image, upper)

    @property
    def is_blank(self) -> bool:
        """Whether all pixels are equal, but for rounding."""
        low, high = self.image.getextrema()
        return float(high) - float(low) <= _ROUNDING  # type: ignore[arg-type]  # of a grey image, two numbers

    def without_ink(self, lines: Iterable[PrintedLine]) -> int:
        """Return how many letters and digits of lines of words are nowhere to be seen."""
        # White pixels where a pixel differs from one of its neighbours.
        contrasts = ImageChops.lighter(self._across, self._down).point(_above(_SEEN))
        return sum(map(partial(self._missing, contrasts), lines))

    def _missing(self, contrasts: Image.Image, line: PrintedLine) -> int:
        x0, y0, x1, y1 = self._pixels(line.box)
        along = int(y1 - y0 > x1 - x0)  # 1: the line runs down the page
        short = min(x1 - x0, y1 - y0)
        # Not the parts above and below, where the lines beside it may reach.
        margin = short // 4 if short > _SMALL else 0
        x0, y0, x1, y1 = (x0 + margin, y0, x1 - margin, y1) if along else (x0, y0 + margin, x1, y1 - margin)
        box = max(0, x0), max(0, y0), min(contrasts.width, x1), min(contrasts.height, y1)
        if box[0] >= box[2] or box[1] >= box[3]:
            return sum(map(_letters, line.words))
        inked = bytes(contrasts.crop(box).getprojection()[along])
        sizes = (word[3] - word[1] if along else word[2] - word[0] for word in line.words)
        narrowest = int(min(sizes) * self._scale)
        if narrowest and bytes(narrowest) not in inked and box == (x0, y0, x1, y1):
            return 0  # no gap is as wide as a word
        first = box[along]
        missing = 0
        for word in line.words:
            start, end = self._pixels(word[:4])[along::2]
            if not any(inked[max(0, start - first) : max(0, end - first)]):
                missing += _letters(word)
        return missing

    def unexplained(self, lines: Iterable[PrintedLine]) -> float:
        """Return how much looks like print and is in no line, as a part of all that looks like print, 0 to 1."""
        # White pixels where contrasts meet in both directions: in print, but not along rules and boxes.
        edges = ImageChops.darker(_widened(self._across), _widened(self._down)).point(_above(_EDGE))
        rest = edges.copy()
        for line in lines:
            x0, y0, x1, y1 = self._pixels(line.box)
            rest.paste(0, (max(0, x0 - 1), max(0, y0 - 1), max(0, x1 + 1), max(0, y1 + 1)))
        if (box := rest.getbbox()) is None:
            return 0.0
        return rest.crop(box).histogram()[255] / edges.histogram()[255]

    def _pixels(self, box: Box) -> tuple[int, int, int, int]:
        x0, y0, x1, y1 = (edge * self._scale for edge in box)
        return int(x0), int(y0), int(x1) + 1, int(y1) + 1


def _above(least: int) -> list[int]:
    return [255 if shade >= least else 0 for shade in range(256)]


def _letters(word: Word) -> int:
    return sum(map(str.isalnum, word[4]))


def _widened(image: Image.Image) -> Image.Image:
    """Return an image whose light pixels have spread by one to the right and down, much faster than a filter does."""
    across = ImageChops.lighter(image, ImageChops.offset(image, 1, 0))
    return ImageChops.lighter(across, ImageChops.offset(across, 0, 1))


def share_within(words: Sequence[Word], boxes: Sequence[Box]) -> float:
    """Return the part of the words, 0 to 1, whose middle lies in a box."""
    within = sum(1 for word in words if any(_holds(box, word) for box in boxes))
    return within / max(1, len(words))


def _holds(box: Box, word: Word) -> bool:
    x, y = (word[0] + word[2]) / 2, (word[1] + word[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]
