"""The lines of a page, put together to paragraphs. Pure."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from tasks.embedded.tables import Box, Word

SAME_ROW = 0.6
"""Part of the height of the lower one that two pieces of a row share."""
NEAR = 1.5
"""Largest space between them, in heights of the taller one; columns are farther apart."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line.

    Attributes:
        word: its text and box.
        begins: whether a paragraph begins with it.
        words: of which it consists, from the left.
        block: the box of the part of the page to which it belongs.
        is_table: whether that part is a table, as the recogniser says.
    """

    word: Word
    begins: bool
    words: tuple[Word, ...] = ()
    block: Box = (0, 0, 0, 0)
    is_table: bool = False


def joined(lines: Iterable[Line]) -> str:
    """Return the text of lines, with a blank line before each paragraph.

    Where Tesseract takes the pieces of one row for two lines, and the right one comes first, they change places.
    """
    parts = list[tuple[str, str]]()
    last: Line | None = None
    for line in lines:
        if not line.word.text:  # a picture
            continue
        if last is not None and _belongs_before(line, last):
            parts[-1] = (parts[-1][0], f"{line.word.text} {parts[-1][1]}")
        else:
            parts.append(("\n\n" if line.begins else "\n", line.word.text))
        last = line
    return "".join(f"{gap}{text}" for gap, text in parts)


def _belongs_before(line: Line, last: Line) -> bool:
    """Return whether a line is the left piece of the row of the line before it."""
    one, other = line.word, last.word
    shared = min(one.bottom, other.bottom) - max(one.top, other.top)
    is_left = 0 <= other.left - one.right < NEAR * max(one.height, other.height)
    is_level = other.height < other.right - other.left
    is_row = is_level and shared >= SAME_ROW * min(one.height, other.height)
    return is_left and is_row and not _is_right_to_left(one.text)


def _is_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(letter) in {"R", "AL"} for letter in text)
