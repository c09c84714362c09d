"""Pages too long for one image: cut into strips between lines, or else into strips that overlap."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from PIL import Image, ImageChops

from tasks.documents.sandbox.raster import ink_of

# An A4 page gets `longest_side` pixels for this many points. A long page that would get clearly fewer is cut.
_SHEET_POINTS = 842
_LONGER = 1.1
_TALL, _WIDE = 2.1, 4.0
_NARROW = 8.0
# A strip is a sheet as wide as the page; its length keeps the print at the size that models are used to.
_STRIP_RATIO = math.sqrt(2)
_SHORTEST_STRIP = 620
MOST_STRIPS = 64

# A seam is searched in the last part of a strip; without one, the next strip begins this much earlier.
_SEAM_WINDOW = 0.25
_OVERLAP = 0.12
# Blank rows (as between lines) and blank columns (as between columns of text) that make a seam, in points.
_LINE_GAP, _COLUMN_GAP = 1.5, 12.0
# A column whose mean ink in the window exceeds this, of 255, is a rule of a table.
_RULE = 230


@dataclass(frozen=True)
class Strip:
    """A part of a page.

    Attributes:
        image: the drawing.
        clean: no text is cut where it begins.
        overlap: the part of it, 0 to 1, that repeats the end of the strip before it.
    """

    image: Image.Image
    clean: bool = True
    overlap: float = 0.0


def strip_points(width: float, height: float) -> float | None:
    """Return the length of the strips of a page in points; None if it is not cut."""
    long, short = max(width, height), min(width, height)
    ratio = _TALL if height > width else _WIDE
    if long > short * _NARROW or (long > _SHEET_POINTS * _LONGER and long > short * ratio):
        points = max(short * _STRIP_RATIO, _SHORTEST_STRIP)
        return points if points * _LONGER < long else None
    return None


def cut(
    draw: Callable[[int, int], Image.Image], taken: Sequence[int], strip: int, scale: float, *, tall: bool
) -> Iterator[Strip]:
    """Cut a page into strips, from its beginning to its end.

    Args:
        draw: draws the page between two positions along its length.
        taken: for each pixel along its length, whether a word or a picture is there.
        strip: maximum length of a strip, in pixels.
        scale: in pixels per point.
        tall: the page is cut across its height, not its width.
    """
    start, clean, doubled, length = 0, True, 0, len(taken)
    while start + strip < length:
        image = draw(start, start + strip)
        at, clear = seam(image, taken[start : start + strip], scale, tall=tall)
        size = (image.width, at) if tall else (at, image.height)
        yield Strip(image.crop((0, 0, *size)), clean, doubled / at)
        # In a wide page, whose lines are cut across, an overlap would double words.
        clean, doubled = clear, round(strip * _OVERLAP) if tall and not clear else 0
        start += at - doubled
    yield Strip(draw(start, length), clean, doubled / max(length - start, 1))


def seam(image: Image.Image, taken: Sequence[int], scale: float, *, tall: bool) -> tuple[int, bool]:
    """Return the position in the last quarter of a strip where to cut it, and whether no text is cut there.

    The arguments are those of `cut`.
    """
    ink = ink_of(image) if tall else ink_of(image).transpose(Image.Transpose.TRANSPOSE)
    first = int(ink.height * (1 - _SEAM_WINDOW))
    window = _without_rules(ink.crop((0, first, ink.width, ink.height)))
    means = window.resize((1, window.height), Image.Resampling.BOX).tobytes()
    gap = (_LINE_GAP if tall else _COLUMN_GAP) * scale
    # The second try ignores specks of dust, the third ignores drawings.
    for marked in (window.getprojection()[1], means, taken[first:]):
        blank = max(_runs_of_zeros(marked), key=lambda run: (len(run), run[0]), default=range(0))
        if len(blank) >= gap:
            return first + blank[len(blank) // 2], True
    return first + min(range(len(means)), key=means.__getitem__), False


def _without_rules(window: Image.Image) -> Image.Image:
    columns = window.resize((window.width, 1), Image.Resampling.BOX)
    rules = columns.point([255 if mean > _RULE else 0 for mean in range(256)]).resize(window.size)
    return ImageChops.subtract(window, rules)


def _runs_of_zeros(marked: Sequence[int]) -> Iterator[Sequence[int]]:
    for inked, run in groupby(range(len(marked)), key=lambda row: marked[row] > 0):
        if not inked:
            yield list(run)
