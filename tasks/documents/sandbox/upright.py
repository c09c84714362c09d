"""Pages put upright: turned by what is certain, and straightened; with the turns that reading has to decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pymupdf
from PIL import Image

from tasks.documents.sandbox.strips import Strip
from tasks.scans.lines import likely_turns, turned
from tasks.scans.shades import commonest_shade
from tasks.scans.skew import skew_of

# Pixels in pictures: those of a scanned page have more. A page of less is a drawing, which is level.
_SCAN_PIXELS = 300_000
# Degrees. Models and engines read print that is less skewed as well as level print.
_LEAST_SKEW = 1.0
# Letters that are seen, and the part of them that runs in one direction, which show that a page lies otherwise.
_LEAST_LETTERS, _LEAST_PART = 200, 0.9
# The turn by a line's direction: the cosine and sine of its angle, downwards.
_TURNS = {(1.0, 0.0): 0, (0.0, -1.0): 90, (-1.0, 0.0): 180, (0.0, 1.0): 270}
# Bits of a span's `char_flags`: its glyphs are filled, or stroked. Neither is set in invisible text.
_DRAWN = 16 | 32


@dataclass(frozen=True)
class Asked:
    """What may be done to put a page upright.

    Attributes:
        turn: the page may be turned.
        straighten: its skew may be taken out.
        known: the turn that reading has decided, in degrees clockwise; 0 if none has.
    """

    turn: bool = False
    straighten: bool = False
    known: int = 0


NOTHING = Asked()
"""The page stays as it is."""


@dataclass
class Upright:
    """A page's image, and what was done to it.

    Attributes:
        turned: degrees clockwise; 0 if it was not.
        by_text: it was turned by the direction of its text.
        straightened: degrees clockwise; 0 if it was not.
        turns: those that may put it upright, the likeliest first; reading has to decide.
    """

    image: Image.Image
    turned: int = 0
    by_text: bool = False
    straightened: float = 0.0
    turns: tuple[int, ...] = field(default=())

    def facts(self) -> dict[str, Any]:
        """Return what was done, as the response has it."""
        facts = {"turned": self.turned, "by_text": self.by_text, "straightened": self.straightened}
        return {**facts, "turns": self.turns}


def put_upright(
    strips: list[Strip], asked: Asked, text_turn: Callable[[], int | None], *, is_scan: bool
) -> tuple[list[Strip], dict[str, Any]]:
    """Return a page put upright, and what was done to it. A page in strips stays as it is.

    Args:
        strips: its images.
        asked: what may be done.
        text_turn: returns the turn that its text shows, in degrees clockwise; None if that shows none.
        is_scan: it is a picture of a page.
    """
    page = Upright(strips[0].image)
    if len(strips) > 1 or not (asked.turn or asked.straighten):
        return strips, page.facts()
    grey = page.image.convert("L")
    if asked.turn:
        page.turned = asked.known
        turns = () if asked.known else likely_turns(grey)
        shown = text_turn() if turns else None
        page.turns = turns if shown is None else ()
        page.turned, page.by_text = (shown, True) if shown else (page.turned, False)
    size = max(page.image.size)
    if page.turned:
        page.image, grey = turned(page.image, page.turned), turned(grey, page.turned)
    # Print that may lie on its side has no skew yet.
    if asked.straighten and is_scan and not set(page.turns) & {90, 270}:
        angle = skew_of(grey)
        if abs(angle) >= _LEAST_SKEW:
            page.straightened = -angle
            page.image = _levelled(page.image, grey, angle, size)
    return [Strip(page.image)], page.facts()


def _levelled(image: Image.Image, grey: Image.Image, angle: float, size: int) -> Image.Image:
    """Return an image turned counterclockwise, with all its corners, that is no larger than it was."""
    if image.mode == "L":
        paper: int | tuple[int, ...] = commonest_shade(grey)
    else:
        paper = tuple(commonest_shade(band) for band in image.split())
    level = image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=paper)
    level.thumbnail((size, size), Image.Resampling.BICUBIC, reducing_gap=None)
    return level


def has_scan(page: pymupdf.Page) -> bool:
    """Return whether the pictures of a PDF's page have the pixels of a scan."""
    return bool(sum(width * height for _, _, width, height, *_ in page.get_images(full=True)) >= _SCAN_PIXELS)


def text_turn(page: pymupdf.Page) -> int | None:
    """Return the turn that puts the text of a PDF's page upright, in degrees clockwise; None if that is not certain.

    The text on a scan shows nothing: it may be a stamp, or what OCR took the print for.
    """
    if has_scan(page):
        return None
    letters = Counter[int | None]()
    # Of the page as it is drawn: Page.get_text leaves out its rotation.
    written = pymupdf.TextPage(page.get_displaylist().get_textpage(pymupdf.TEXT_CLIP))
    written.parent = page
    for block in written.extractDICT()["blocks"]:
        for line in block.get("lines", ()):
            turn = None if line["wmode"] else _TURNS.get(tuple(round(part, 1) for part in line["dir"]))
            drawn = (span["text"] for span in line["spans"] if span["char_flags"] & _DRAWN)
            letters[turn] += sum(map(str.isalnum, "".join(drawn)))
    (turn, most), *_ = letters.most_common(1) or [(None, 0)]
    # A page stays as it lies by few letters; it is turned by many.
    least = 1 if turn == 0 else _LEAST_LETTERS
    return turn if most >= max(least, _LEAST_PART * letters.total()) else None
