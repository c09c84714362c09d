"""Tables between drawn rules. Cells without rules between them are one cell."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.documents.sandbox.layer.lines import Box, Line
from tasks.documents.sandbox.layer.order import rows

# Rules are thinner and longer than this, and meet within it, in points.
_THIN, _LONG, _NEAR = 2.5, 6.0, 3.0
_MOST_RULES = 1_500
_MOST_CELLS = 4_000
_LEAST_FILLED = 0.3


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        box: its outline.
        cells: the text of each cell, by rows.
    """

    box: Box
    cells: tuple[tuple[str, ...], ...]

    def holds(self, line: Line) -> bool:
        """Return whether a line stands in it."""
        x, y = line.middle
        return self.box[0] <= x <= self.box[2] and self.box[1] <= y <= self.box[3]


@dataclass(frozen=True)
class _Rule:
    """A rule: its place across, and its two ends along."""

    at: float
    start: float
    end: float

    def covers(self, at: float, along: float) -> bool:
        return abs(self.at - at) <= _NEAR and self.start - _NEAR <= along <= self.end + _NEAR


def rules_of(boxes: Sequence[tuple[Box, bool]]) -> tuple[list[_Rule], list[_Rule]]:
    """Return the horizontal and the vertical rules among drawings: their boxes, and whether each is a drawn outline."""
    across: list[_Rule] = []
    down: list[_Rule] = []
    for (x0, y0, x1, y1), outline in boxes[:_MOST_RULES]:
        width, height = x1 - x0, y1 - y0
        if height <= _THIN and width >= _LONG:
            across.append(_Rule((y0 + y1) / 2, x0, x1))
        elif width <= _THIN and height >= _LONG:
            down.append(_Rule((x0 + x1) / 2, y0, y1))
        elif outline and width >= _LONG and height >= _LONG:
            across += [_Rule(y0, x0, x1), _Rule(y1, x0, x1)]
            down += [_Rule(x0, y0, y1), _Rule(x1, y0, y1)]
    return across, down


def tables_in(across: Sequence[_Rule], down: Sequence[_Rule], words: Sequence[Line]) -> list[Table]:
    """Return the tables that rules make, with their words."""
    found: list[Table] = []
    for rules in _joined(across, down):
        table = _table(*rules, words)
        if table is not None and not any(_overlap(table.box, other.box) for other in found):
            found.append(table)
    return found


def _joined(across: Sequence[_Rule], down: Sequence[_Rule]) -> list[tuple[list[_Rule], list[_Rule]]]:
    """Return the rules in groups that meet each other, the largest first."""
    groups: list[tuple[list[_Rule], list[_Rule]]] = []
    if len(across) * len(down) > _MOST_RULES**2 // 4:
        return []
    left = set(range(len(down)))
    waiting = set(range(len(across)))
    while waiting:
        lines, posts, reached = {waiting.pop()}, set[int](), True
        while reached:
            posts_now = {at for at in left if any(_meet(across[line], down[at]) for line in lines)}
            left -= posts_now
            lines_now = {at for at in waiting if any(_meet(across[at], down[post]) for post in posts_now)}
            waiting -= lines_now
            posts |= posts_now
            lines |= lines_now
            reached = bool(lines_now)
        groups.append(([across[at] for at in lines], [down[at] for at in posts]))
    return sorted(groups, key=lambda group: -len(group[0]) * len(group[1]))


def _meet(across: _Rule, down: _Rule) -> bool:
    return across.start - _NEAR <= down.at <= across.end + _NEAR and down.start - _NEAR <= across.at <= down.end + _NEAR


def _overlap(box: Box, other: Box) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]


def _places(rules: Sequence[_Rule]) -> list[float]:
    """Return where rules are, those near each other as one."""
    places: list[float] = []
    for rule in sorted(rules, key=lambda rule: rule.at):
        if not places or rule.at - places[-1] > _NEAR:
            places.append(rule.at)
    return places


def _table(across: Sequence[_Rule], down: Sequence[_Rule], words: Sequence[Line]) -> Table | None:
    """Return the table of rules that meet; None if they are a frame, or too little stands in it."""
    xs, ys = _places(down), _places(across)
    width, height = len(xs) - 1, len(ys) - 1
    if width < 2 or height < 2 or width * height > _MOST_CELLS:
        return None
    box = (xs[0], ys[0], xs[-1], ys[-1])
    owners = _owners(xs, ys, across, down)
    held: dict[tuple[int, int], list[Line]] = {}
    for word in words:
        x, y = word.middle
        if box[0] < x < box[2] and box[1] < y < box[3]:
            held.setdefault(owners[bisect_right(ys, y) - 1, bisect_right(xs, x) - 1], []).append(word)
    if len({column for _, column in held}) < 2 or len({row for row, _ in held}) < 2:
        return None
    if len(held) < _LEAST_FILLED * len(set(owners.values())):
        return None
    cells = (
        tuple(" ".join(row.text for row in rows(held.get((row, column), ()))) for column in range(width))
        for row in range(height)
    )
    return Table(box, tuple(row for row in cells if any(row)))


def _owners(
    xs: Sequence[float], ys: Sequence[float], across: Sequence[_Rule], down: Sequence[_Rule]
) -> dict[tuple[int, int], tuple[int, int]]:
    """Return for each cell of a grid the first cell that no rule parts from it."""
    owners: dict[tuple[int, int], tuple[int, int]] = {}
    for row in range(len(ys) - 1):
        for column in range(len(xs) - 1):
            x, y = (xs[column] + xs[column + 1]) / 2, (ys[row] + ys[row + 1]) / 2
            owners[row, column] = row, column
            if column and not any(rule.covers(xs[column], y) for rule in down):
                owners[row, column] = owners[row, column - 1]
            elif row and not any(rule.covers(ys[row], x) for rule in across):
                owners[row, column] = owners[row - 1, column]
    return owners


def outlines(blocks: Sequence[dict[str, Any]]) -> list[tuple[Box, bool]]:
    """Return the boxes of the drawings of `TextPage.extractDICT`, and whether each is a drawn outline."""
    vector = 3
    return [(block["bbox"], bool(block["stroked"] and block["isrect"])) for block in blocks if block["type"] == vector]
