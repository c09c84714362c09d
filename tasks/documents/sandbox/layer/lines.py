"""The lines of a page's text, upright, with what tells visible text from hidden text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in points."""

# Bits of a span's `char_flags`: its glyphs are filled, or stroked. Neither is set in text render mode 3 (invisible).
_BOLD, _FILLED, _STROKED = 8, 16, 32
_FAINTEST = 13
_TINY = 3.0
_STRAIGHT = 0.02
# Of the part of its size that an overprinted glyph is moved, as for a shadow or for bold print.
_MOVED = 0.25
_MOST_FONTS = 24
_MOST_SAMPLE = 6_000
_LIGATURES = str.maketrans(
    {0xFB00: "ff", 0xFB01: "fi", 0xFB02: "fl", 0xFB03: "ffi", 0xFB04: "ffl", 0xFB05: "st", 0xFB06: "st"}
)
# A ligature that stands apart because its glyph is narrower than the font says.
_APART = re.compile(r"(?<=[A-Za-z]) (ffi|ffl|ff|fi|fl) (?=[a-z])")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_INVISIBLE = re.compile("[\u200b\u2060\ufeff]")
_BLANKS = re.compile(r"\s+")
_LEADERS = re.compile(r"(?:\. ?){4,}|\u2026{2,}|_{4,}")


@dataclass(frozen=True)
class Line:
    """A piece of text on one baseline, upright, in points from the upper left corner.

    Attributes:
        text: with the blanks at its ends.
        size: of its font, in points.
        bold: whether all of it is bold.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    text: str
    size: float
    bold: bool = False

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of its box."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2


@dataclass
class Lines:
    """The lines of a page.

    Attributes:
        upright: those in the page's main direction.
        turned: those in another direction.
        direction: the main direction, as the cosine and sine of its angle on the page as it is shown.
        hidden: characters that are drawn invisibly.
        tiny: characters of less than 3 points.
        vertical: characters in a vertical writing mode.
        fonts: samples of the text of each font, the most used first.
        truncated: whether there was more text than is kept.
    """

    upright: list[Line] = field(default_factory=list)
    turned: list[Line] = field(default_factory=list)
    direction: tuple[int, int] = (1, 0)
    hidden: int = 0
    tiny: int = 0
    vertical: int = 0
    fonts: list[str] = field(default_factory=list)
    truncated: bool = False


def cleaned(text: str) -> str:
    """Return text without ligatures, blanks that have no width, and leaders; controls become U+FFFD."""
    if text.isascii() and text.isprintable() and ". ." not in text and "..." not in text and "__" not in text:
        return _APART.sub(r"\1", text) if " f" in text else text
    text = _INVISIBLE.sub("", text.translate(_LIGATURES))
    text = _BLANKS.sub(" ", _CONTROLS.sub("\ufffd", text.replace("\t", " ").replace("\n", " ")))
    return _APART.sub(r"\1", _LEADERS.sub(" ", text))


def upright(box: Box, direction: tuple[int, int], width: float, height: float) -> Box:
    """Return a box of a page as it is after its text has been turned upright."""
    x0, y0, x1, y1 = box
    match direction:
        case (0, 1):
            return y0, width - x1, y1, width - x0
        case (0, -1):
            return height - y1, x0, height - y0, x1
        case (-1, 0):
            return width - x1, height - y1, width - x0, height - y0
    return box


def lines_of(blocks: Sequence[dict[str, Any]], width: float, height: float, most: int) -> Lines:
    """Return a page's lines.

    Args:
        blocks: of `TextPage.extractDICT`.
        width: of the page as it is shown, in points.
        height: likewise.
        most: characters that are kept.
    """
    lines = [line for block in blocks if block["type"] == 0 for line in block["lines"]]
    directions: Counter[tuple[int, int] | None] = Counter()
    for line in lines:
        directions[_direction(line)] += sum(len(span["text"]) for span in line["spans"])
    known = [(count, way) for way, count in directions.items() if way is not None]
    main = max(known, default=(0, (1, 0)))[1]
    page, fonts, kept, seen = Lines(direction=main), Counter[str](), 0, dict[str, list[tuple[float, float]]]()
    samples: dict[str, list[str]] = {}
    for line in lines:
        spans = [span for span in line["spans"] if span["text"].strip() and not _is_overprint(span, seen)]
        for span in spans:
            count = len(span["text"].replace(" ", ""))
            page.hidden += count * _is_hidden(span)
            page.tiny += count * (span["size"] < _TINY)
            page.vertical += count * bool(line["wmode"])
            fonts[span["font"]] += count
            samples.setdefault(span["font"], []).append(span["text"])
        made = _line(line["spans"] if len(spans) == len(_written(line)) else spans, line["bbox"])
        if made is None:
            continue
        kept += len(made.text)
        if kept > most:
            page.truncated = True
            break
        way = _direction(line)
        if way == main:
            box = upright((made.x0, made.y0, made.x1, made.y1), main, width, height)
            page.upright.append(Line(*box, made.text, made.size, made.bold))
        else:
            page.turned.append(made)
    page.fonts = list(_samples(fonts, samples))
    return page


def _direction(line: dict[str, Any]) -> tuple[int, int] | None:
    """Return a line's direction if it is a multiple of 90 degrees."""
    cosine, sine = line["dir"]
    way = round(cosine), round(sine)
    return way if abs(cosine - way[0]) < _STRAIGHT and abs(sine - way[1]) < _STRAIGHT else None


def _written(line: dict[str, Any]) -> list[dict[str, Any]]:
    return [span for span in line["spans"] if span["text"].strip()]


def _is_hidden(span: dict[str, Any]) -> bool:
    return not span["char_flags"] & (_FILLED | _STROKED) or span["alpha"] < _FAINTEST


def _is_overprint(span: dict[str, Any], seen: dict[str, list[tuple[float, float]]]) -> bool:
    """Return whether a span repeats another one in the same place, as a shadow or bold print does."""
    (x, y), near = span["origin"], span["size"] * _MOVED
    places = seen.setdefault(span["text"].strip(), [])
    if any(abs(x - left) < near and abs(y - base) < near for left, base in places[-8:]):
        return True
    places.append((x, y))
    return False


def _line(spans: Sequence[dict[str, Any]], box: Box) -> Line | None:
    text = cleaned("".join(span["text"] for span in spans))
    written = [span for span in spans if span["text"].strip()]
    if not text.strip() or not written:
        return None
    size = max(written, key=lambda span: len(span["text"]))["size"]
    bold = all(span["char_flags"] & _BOLD for span in written)
    return Line(*box, text, size, bold)


def _samples(fonts: Counter[str], samples: dict[str, list[str]]) -> Iterator[str]:
    left = _MOST_SAMPLE
    for font, _ in fonts.most_common(_MOST_FONTS):
        sample = cleaned(" ".join(samples[font]))[: max(left // 2, 200)]
        left = max(0, left - len(sample))
        yield sample
