"""Spaces that the recogniser left out, found by the gaps between the characters of a line. Pure.

Tesseract's recogniser decides on spaces as it does on letters, and leaves some out: `210 9.5` becomes `2109.5` where
the gap is as wide as a column's, and `33 961` becomes `33961` where it is narrow. The boxes of the characters, and the
blank columns of pixels between them, show such gaps. No dictionary is asked: it would change names and numbers.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, quantiles

WIDE = 1.0
"""Gap, in heights of a character, that no word has. The narrowest columns of tables are farther apart."""

LETTERS, LEAST = 0.4, 3
"""Gap between two letters, in heights of a character, and in pixels. Spaces of tightly set lines are about as wide."""
BROAD = 1.5
"""Width of a box, in heights of a character, from which on it may be that of several letters."""
CLEARLY = 1.4
"""How many times as wide it is as nine of ten gaps between letters of the line: print may be spaced out, or bold."""
OF_A_SPACE = 0.5
"""The part of a usual space of the line that it has."""

EVEN, ALIKE = 0.15, 0.75
"""Print is monospaced if so large a part of its letters are one distance apart, which may vary by a part of it."""
MISSING = 1.6
"""How many times that distance there is to a letter after a space. Gaps tell nothing: letters are narrow or wide."""

DIGITS = 0.3
"""Gap between two digits, in heights of a character. Before a 1 there may be as much without a space."""
PITCH = 1.3
"""How many times as far apart their middles are as those of the line's other digits, which are equally wide."""
LEAST_PITCH = 8
"""Pixels between the middles of digits. Of smaller ones the middles are not known well enough."""

LEADERS = frozenset(".·…_")
"""Characters of the dotted lines before a number, which are as far apart as words."""

_LAST_ALPHABET = 0x530
"""Latin, Greek and Cyrillic letters come before it. Other scripts are spaced by other rules."""


@dataclass(frozen=True, slots=True)
class Glyph:
    """A character of a word.

    Attributes:
        text: the character.
        left, right, height: of its box, in pixels.
        blank: width in pixels of the widest blank between its middle and the next one's; 0 for the last of a word.
    """

    text: str
    left: int
    right: int
    height: int
    blank: int = 0

    @property
    def width(self) -> int:
        """The width of its box."""
        return self.right - self.left

    @property
    def middle(self) -> float:
        """The middle of its width."""
        return (self.left + self.right) / 2

    @property
    def is_plain(self) -> bool:
        """Whether its script puts spaces between words."""
        return all(ord(each) < _LAST_ALPHABET or unicodedata.category(each)[0] not in "LM" for each in self.text)


Word = Sequence[Glyph]


def lost_spaces(words: Sequence[Word]) -> list[list[int]]:
    """Return for each word of a line before which of its characters a space was left out."""
    return _Line(words).spaces() if all(glyph.is_plain for word in words for glyph in word) else [[] for _ in words]


class _Line:
    """The measures of a line's characters."""

    def __init__(self, words: Sequence[Word]) -> None:
        self._words = words
        self._height = median([glyph.height for word in words for glyph in word if glyph.text.isalnum()] or [0])
        pairs = [pair for word in words for pair in pairwise(word)]
        letters = [pair for pair in pairs if _are(str.isalpha, *pair)]
        gaps, distances = [_gap(*pair) for pair in letters], [_distance(*pair) for pair in letters]
        self._usual_gap = quantiles(gaps, n=10, method="inclusive")[-1] if len(gaps) > 1 else 0
        even = median(distances or [0])
        alike = sum(abs(distance - even) <= EVEN * even for distance in distances)
        self._monospace = even if alike >= max(2, ALIKE * len(distances)) else 0
        between = [after[0].left - before[-1].right for before, after in pairwise(words)]
        self._space = median([gap for gap in between if gap < 1.5 * self._height] or [0])
        digits = [_distance(*pair) for pair in pairs if _are(str.isdigit, *pair)]
        self._pitch = median(digits) if len(digits) > 2 else 0

    def spaces(self) -> list[list[int]]:
        if not self._height:
            return [[] for _ in self._words]
        return [[at for at, pair in enumerate(pairwise(word), 1) if self._is_apart(*pair)] for word in self._words]

    def _is_apart(self, one: Glyph, other: Glyph) -> bool:
        gap, height = _gap(one, other), self._height
        if _distance(one, other) < MISSING * self._monospace:
            return False
        if gap >= WIDE * height and not {one.text, other.text} & LEADERS:
            return True
        if _are(str.isalpha, one, other):
            if max(one.width, other.width) > BROAD * height:
                return False
            height = max(height, min(one.height, other.height))
            return gap >= max(LEAST, LETTERS * height, CLEARLY * self._usual_gap, OF_A_SPACE * self._space)
        if _are(str.isdigit, one, other) and self._pitch >= LEAST_PITCH:
            return one.blank >= DIGITS * height and _distance(one, other) >= PITCH * self._pitch
        return False


def _gap(one: Glyph, other: Glyph) -> int:
    """Return the width of the gap between two characters: boxes may be too small, and faint strokes look blank."""
    return min(other.left - one.right, one.blank)


def _distance(one: Glyph, other: Glyph) -> float:
    return other.middle - one.middle


def _are(kind: Callable[[str], bool], one: Glyph, other: Glyph) -> bool:
    return kind(one.text) and kind(other.text)
