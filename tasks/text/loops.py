"""Loops at the end of a model's text: the same words, figures or rows again and again, or a counter that goes on.

Pages repeat themselves, too: dot leaders, rules, columns of zeros, rows of a form, labels, numbered lines. How much
repetition a page may hold depends on what is repeated, so that a loop is judged by its kind, turns and length.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_LONGEST_UNIT = 2000
_WINDOW = 12_000
"""Characters of the end that are examined: five turns of the longest unit, and a part of one."""
_COUNTED = 6000
"""The same for counters, whose units are short."""
_STEP = 256
"""Characters that are written between two checks."""
_ANCHOR, _CUT_ANCHOR = 200, 16
"""Length of the text's end whose earlier occurrences show which units may repeat; shorter than any loop."""

_TAG = re.compile(r"<[^<>]*>")
_NUMBER = re.compile(r"\d{1,15}")
_ROW_END = re.compile(r"\n|</tr>|<br ?/?>", re.IGNORECASE)
# The parts of forms and tables: cells, lines to write on, leaders, checkboxes.
_CELL = re.compile(r"\||\t|</?t[dhr]\b|[_.\-·]{3}|…|[☐-☒□○◯]|\[ \]", re.IGNORECASE)
_CELL_LETTERS = 12
"""Most letters of an entry of a column, such as `EUR 0.00`, or of a form, such as `Yes  No`."""


@dataclass(frozen=True)
class Loop:
    """The end of a text, which from `start` on repeats a unit of `size` characters."""

    start: int
    size: int
    turns: int


class LoopDetector:
    """Detects a loop while a text is being written, at a cost that is linear in its length."""

    def __init__(self) -> None:
        self._tail = ""
        self._unseen: list[str] = []
        self._length = 0

    def add(self, piece: str) -> bool:
        """Add a piece, and return whether the text is in a loop; it is checked every 256 characters."""
        self._unseen.append(piece)
        self._length += len(piece)
        if self._length < _STEP:
            return False
        self._tail = (self._tail + "".join(self._unseen))[-_WINDOW:]
        self._unseen.clear()
        self._length = 0
        return find_loop(self._tail) is not None


def find_loop(text: str, *, cut: bool = False) -> Loop | None:
    """Find the loop that a text ends in.

    Args:
        text: what was written.
        cut: whether it was cut off. Then less repetition is a loop: few texts are cut where they repeat themselves.

    Returns:
        The loop, or None if it ends as a page may end.
    """
    tail = text[-_WINDOW:]
    for size, turns in _repeats(tail, cut=cut):
        if _is_loop(tail[-size:], turns, len(text), cut=cut):
            return _repeated(text, size)
    return _counter(text, cut=cut) if _counter(tail[-_COUNTED:], cut=cut) else None


def _repeated(text: str, size: int) -> Loop:
    """Return the loop of a unit of this size that the text ends in, from its first turn on."""
    unit, start = text[-size:], len(text) - size
    while text[max(0, start - size) : start] == unit:
        start -= size
    return Loop(start, size, (len(text) - start) // size)


def _repeats(text: str, *, cut: bool) -> Iterator[tuple[int, int]]:
    """Yield the units that the text ends in at least twice, shortest first, by size and turns."""
    anchor = text[-(_CUT_ANCHOR if cut else _ANCHOR) :]
    first = max(0, len(text) - _LONGEST_UNIT - len(anchor))
    size = 0
    while anchor and (at := text.rfind(anchor, first, len(text) - size - 1)) >= 0:
        size = len(text) - len(anchor) - at
        unit, turns = text[-size:], 1
        while text[-size * (turns + 1) : -size * turns] == unit:
            turns += 1
        if turns > 1:
            yield size, turns
        # Longer units within the same stretch are this one several times over.
        size = max(size, size * turns // 2)


def _is_loop(unit: str, turns: int, length: int, *, cut: bool) -> bool:
    """Return whether a unit is repeated for longer than on a page; `length` is the whole text's."""
    stretch = turns * len(unit)
    if cut and turns >= 8 and stretch >= max(32, length // 2):
        return True
    letters = sum(map(str.isalpha, _TAG.sub("", unit * 2))) / 2
    rows = 0 if unit.isspace() else turns * len(_ROW_END.findall(unit))
    if letters and not _CELL.search(unit) and not (rows and letters * turns <= _CELL_LETTERS * rows):
        return stretch >= 240 and turns >= (3 if cut else 8 if len(unit) <= 200 else 5)
    if turns < 8:
        return False
    if cut:
        return stretch >= 1000
    if rows:  # a page has a hundred lines, and figures may be in several columns
        return rows >= (100 if letters else 400) or stretch >= 10_000
    return stretch >= 1500


def _counter(text: str, *, cut: bool) -> Loop | None:
    """Return a loop whose numbers count on: each unit differs from the previous one by the same steps."""
    tail = text.rstrip("0123456789")  # the last number may be incomplete
    numbers: list[str] = []
    shape = _NUMBER.sub("\0", tail)
    for size, turns in _repeats(shape, cut=cut):
        in_unit = shape[-size:].count("\0")
        if not in_unit or turns < 3:
            continue
        numbers = numbers or _NUMBER.findall(tail)
        last = numbers[-turns * in_unit :]
        places = [_steady(last[place::in_unit]) for place in range(in_unit)]
        steady = min(found for found, _ in places)
        if any(step for _, step in places) and steady >= 24:
            starts = [number.start() for number in _NUMBER.finditer(tail)]
            start = starts[-steady * in_unit]
            bare = len(tail) - start >= len(text) // 2 and not any(map(str.isalpha, shape[-size:]))
            if steady >= (200 if not cut else 24 if bare else 100):
                return Loop(start, (len(tail) - start) // steady, steady)
    return None


def _steady(numbers: Sequence[str]) -> tuple[int, int]:
    """Return how many of the last numbers follow each other at equal steps, and the step."""
    step = int(numbers[-1]) - int(numbers[-2])
    found = 2
    while found < len(numbers) and int(numbers[-found]) - int(numbers[-found - 1]) == step:
        found += 1
    return found, step
