"""The lines and words that Tesseract found on a page, with the spaces that it left out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

import tesserocr
from PIL import Image

from tasks.embedded.lines import Line
from tasks.embedded.spaces import Glyph, lost_spaces
from tasks.embedded.tables import Box, Word
from tasks.scans.shades import commonest_shade

INK = 0.85
"""The lightest ink, as a part of the shade of the paper: the faint edges of strokes are ink, too."""

_BLOCK, _PARAGRAPH, _LINE = tesserocr.RIL.BLOCK, tesserocr.RIL.PARA, tesserocr.RIL.TEXTLINE
_WORD, _SYMBOL = tesserocr.RIL.WORD, tesserocr.RIL.SYMBOL


@dataclass(slots=True)
class _Found:
    """A line: its text, and for each of its words the text, the box, and the box of each character."""

    text: str
    box: Box
    block: Box
    is_table: bool
    begins: bool
    words: list[tuple[str, Box, list[tuple[str, Box]]]] = field(default_factory=list)


def lines_of(found: "tesserocr.PyResultIterator", page: Image.Image) -> Iterator[Line]:
    """Yield the lines of a page that was read, with the words that they have by the gaps on its grey image."""
    darkest = INK * commonest_shade(page)
    ink = page.point([255 if shade < darkest else 0 for shade in range(256)])
    for line in _lines(found):
        words = [(text, box, _glyphs(ink, box, glyphs)) for text, box, glyphs in line.words]
        is_level = line.box[3] - line.box[1] <= line.box[2] - line.box[0]
        spaces = lost_spaces([glyphs for _, _, glyphs in words]) if is_level else [[]] * len(words)
        parts = [list(_parted(*word, before)) for word, before in zip(words, spaces, strict=True)]
        text = _with_spaces(line.text, [word for word, _, _ in words], parts)
        yield Line(
            Word(text, *line.box),
            begins=line.begins,
            words=tuple(part for word in parts for part in word),
            block=line.block,
            is_table=line.is_table,
        )


def _lines(found: "tesserocr.PyResultIterator") -> list[_Found]:
    lines: list[_Found] = []
    for at in tesserocr.iterate_level(found, _SYMBOL):
        if at.Empty(_SYMBOL):  # a picture
            continue
        if at.IsAtBeginningOf(_LINE) or not lines:
            begins = bool(at.IsAtBeginningOf(_BLOCK) or at.IsAtBeginningOf(_PARAGRAPH))
            is_table = at.BlockType() == tesserocr.PT.TABLE
            text = at.GetUTF8Text(_LINE).strip()
            lines.append(_Found(text, at.BoundingBox(_LINE), at.BoundingBox(_BLOCK), is_table, begins))
        words = lines[-1].words
        if at.IsAtBeginningOf(_WORD) or not words:
            words.append((at.GetUTF8Text(_WORD), at.BoundingBox(_WORD), []))
        words[-1][2].append((at.GetUTF8Text(_SYMBOL), at.BoundingBox(_SYMBOL)))
    return lines


def _glyphs(ink: Image.Image, box: Box, characters: Sequence[tuple[str, Box]]) -> list[Glyph]:
    """Return the characters of a word, with the blank columns between their middles."""
    columns = ink.crop(box).getprojection()[0] if len(characters) > 1 else []
    middles = [max(0, (left + right) // 2 - box[0]) for _, (left, _, right, _) in characters]
    blanks = [_longest_blank(columns[one : other + 1]) for one, other in pairwise(middles)]
    return [
        Glyph(text, left, right, bottom - top, blank)
        for (text, (left, top, right, bottom)), blank in zip(characters, [*blanks, 0], strict=True)
    ]


def _longest_blank(columns: Sequence[int]) -> int:
    return max((len(list(run)) for inked, run in groupby(columns) if not inked), default=0)


def _parted(text: str, box: Box, glyphs: Sequence[Glyph], before: Sequence[int]) -> Iterator[Word]:
    """Yield a word in the parts that begin at some of its characters."""
    if not before:
        yield Word(text, *box)
        return
    for first, end in pairwise((0, *before, len(glyphs))):
        part = glyphs[first:end]
        yield Word("".join(glyph.text for glyph in part), part[0].left, box[1], part[-1].right, box[3])


def _with_spaces(text: str, words: Sequence[str], parts: Sequence[Sequence[Word]]) -> str:
    """Return a line's text with spaces between the parts of its words."""
    at = 0
    for word, pieces in zip(words, parts, strict=True):
        found = text.find(word, at)
        if found < 0:
            continue
        spaced = " ".join(piece.text for piece in pieces)
        text = f"{text[:found]}{spaced}{text[found + len(word) :]}"
        at = found + len(spaced)
    return text
