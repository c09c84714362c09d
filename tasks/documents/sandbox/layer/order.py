"""The reading order of a page's lines: columns from left to right, and what spans them in its place."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import median

from tasks.documents.sandbox.layer.lines import Line

# A gutter between columns, in sizes of the print, and in points.
_GUTTER, _LEAST_GUTTER = 0.7, 6.0
# The lines that a column has at least.
_LEAST_LINES = 3
# Space between the text and a running header or footer, in sizes of the print.
_APART = 0.8
# Letters of a column's lines; shorter ones are cells of a table, if they stand side by side.
_PROSE = 16
_ALIGNED = 0.12
_SAME_ROW = 0.5
_DEEPEST = 6
_MOST_EDGES = 8
_MOST = 3_000


@dataclass(frozen=True)
class Row:
    """The cells that stand side by side on one line of a column.

    Attributes:
        cells: from left to right.
    """

    cells: tuple[Line, ...]

    @property
    def x0(self) -> float:
        """Left edge."""
        return self.cells[0].x0

    @property
    def x1(self) -> float:
        """Right edge."""
        return max(cell.x1 for cell in self.cells) if len(self.cells) > 1 else self.cells[0].x1

    @property
    def y0(self) -> float:
        """Upper edge."""
        return min(cell.y0 for cell in self.cells) if len(self.cells) > 1 else self.cells[0].y0

    @property
    def y1(self) -> float:
        """Lower edge."""
        return max(cell.y1 for cell in self.cells) if len(self.cells) > 1 else self.cells[0].y1

    @property
    def size(self) -> float:
        """Size of the print of most of it, in points."""
        return self._longest.size

    @property
    def bold(self) -> bool:
        """Whether all of it is bold."""
        return all(cell.bold for cell in self.cells)

    @cached_property
    def text(self) -> str:
        """Its text, with a space between two cells."""
        parts = [self.cells[0].text]
        for before, after in pairwise(self.cells):
            # Pieces of one word, as before a ligature in another font, touch each other.
            if after.x0 - before.x1 >= _ALIGNED * after.size and not before.text.endswith(" "):
                parts.append(" ")
            parts.append(after.text)
        return " ".join("".join(parts).split())

    @property
    def base(self) -> float:
        """Lower edge of most of it, which no note above or below the line moves."""
        return self._longest.y1

    @property
    def _longest(self) -> Line:
        return max(self.cells, key=lambda cell: len(cell.text)) if len(self.cells) > 1 else self.cells[0]


def columns(lines: Sequence[Line]) -> list[list[Row]]:
    """Return the rows of each column, in reading order; the running header and footer are columns of their own."""
    if len(lines) > _MOST:
        return [rows(lines)]
    head, body, foot = _framed(rows(lines))
    found = [head, *map(rows, _cut([cell for row in body for cell in row.cells], _DEEPEST)), foot]
    return [column for column in found if column]


def _framed(page: list[Row]) -> tuple[list[Row], list[Row], list[Row]]:
    """Return a page's first row, the others, and its last row, if these stand apart."""
    first, last = 0, len(page)
    if len(page) > 2 * _LEAST_LINES:
        first = int(page[1].y0 - page[0].y1 > _APART * page[0].size)
        last -= int(page[-1].y0 - page[-2].y1 > _APART * page[-1].size)
    return page[:first], page[first:last], page[last:]


def rows(lines: Iterable[Line]) -> list[Row]:
    """Return lines as rows from top to bottom: those that overlap by half of their height stand side by side."""
    found: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: line.middle[1]):
        for row in reversed(found[-3:]):
            first = row[0]
            overlap = min(first.y1, line.y1) - max(first.y0, line.y0)
            if overlap > _SAME_ROW * min(first.y1 - first.y0, line.y1 - line.y0):
                row.append(line)
                break
        else:
            found.append([line])
    return [Row(tuple(sorted(row, key=lambda line: line.x0))) for row in found]


def _cut(lines: Sequence[Line], depth: int) -> list[list[Line]]:
    """Cut lines at their best gutter, and again within each part."""
    gutter = _gutter(lines) if depth and len(lines) >= 2 * _LEAST_LINES else None
    if gutter is None:
        return [list(lines)] if lines else []
    parts: list[list[Line]] = []
    for is_cut, band in _bands(lines, gutter):
        sides = _sides(band, gutter) if is_cut else (band,)
        parts += [part for side in sides for part in _cut(side, depth - 1)]
    return parts


def _bands(lines: Sequence[Line], gutter: float) -> list[tuple[bool, list[Line]]]:
    """Return lines from top to bottom, in turns those in columns beside a gutter and those that are not."""
    bands: list[tuple[bool, list[Line]]] = []
    for row in rows(lines):
        spans = any(cell.x0 < gutter < cell.x1 for cell in row.cells)
        if not bands or bands[-1][0] is spans:
            bands.append((not spans, []))
        bands[-1][1].extend(row.cells)
    joined: list[tuple[bool, list[Line]]] = []
    for is_open, band in bands:
        is_cut = is_open and _are_columns(*_sides(band, gutter))
        if joined and not is_cut and not joined[-1][0]:
            joined[-1][1].extend(band)
        else:
            joined.append((is_cut, band))
    return joined


def _sides(lines: Sequence[Line], gutter: float) -> tuple[list[Line], list[Line]]:
    return [line for line in lines if line.x1 <= gutter], [line for line in lines if line.x0 >= gutter]


def _gutter(lines: Sequence[Line]) -> float | None:
    """Return the right edge of the gutter between the largest columns of print; None if there is none."""
    edges = Counter(round(line.x0) for line in lines)
    first = min(line.x0 for line in lines) + 1
    best: tuple[int, float] | None = None
    # A column begins where many lines begin.
    for edge, count in edges.most_common(_MOST_EDGES):
        if count < _LEAST_LINES or edge <= first:
            continue
        within = sum(len(band) for is_cut, band in _bands(lines, edge - 1.0) if is_cut)
        if within:
            best = max(best or (within, edge - 1.0), (within, edge - 1.0))
    return None if best is None else best[1]


def _are_columns(left: Sequence[Line], right: Sequence[Line]) -> bool:
    """Return whether two sides are columns to be read one after the other, and not the cells of a table."""
    beside = rows(left), rows(right)
    if min(map(len, beside)) < _LEAST_LINES:
        return False
    gutter = min(line.x0 for line in right) - max(line.x1 for line in left)
    if gutter < max(_LEAST_GUTTER, _GUTTER * median(line.size for line in left)):
        return False
    if min(beside[0][-1].y1, beside[1][-1].y1) <= max(beside[0][0].y0, beside[1][0].y0):
        return False
    prose = min(median(sum(map(str.isalpha, row.text)) for row in side) for side in beside)
    if prose >= _PROSE:
        return True
    bases = sorted(row.y1 for row in beside[0])
    aligned = sum(_is_near(bases, row.y1, _ALIGNED * row.size) for row in beside[1])
    return prose * 2 >= _PROSE and aligned <= _SAME_ROW * min(map(len, beside))


def _is_near(places: Sequence[float], place: float, most: float) -> bool:
    """Return whether one of the sorted places is within a distance of a place."""
    at = bisect_left(places, place - most)
    return at < len(places) and places[at] <= place + most
