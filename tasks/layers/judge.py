"""Judges a page's text layer: whether it may stand for the page. What is unsure is not sound. Pure.

A layer that is taken although it is wrong costs more than one that is left: that page is only read by the model.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tasks.documents.answers import LayerFacts
from tasks.text.language import Likeness, likeness

# The part of the pairs of letters that is usual: of a page, of one font's text, and of a page of few words.
_PAGE, _FONT, _FEW = 0.84, 0.74, 0.9
_MANY_PAIRS, _FONT_PAIRS, _LEAST_PAIRS = 80, 40, 24
# Parts of a page's characters, or of its print, that do not count.
_TURNED, _HIDDEN, _FOREIGN, _CAMEL = 0.1, 0.0, 0.02, 0.03
_UNEXPLAINED = 0.04
_OVER_PICTURES = 0.1
_UNTOLD = 0.3
_MANY_LETTERS = 3
# UTF-8 that was read as Windows-1252 or Latin-1.
_MOJIBAKE = re.compile(
    "[\u00c2\u00c3][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122]|\u00e2\u20ac|\u00ef\u00bf\u00bd"
)
# Symbol fonts put their bullets here, at the beginning of a line.
_BULLETS = "\uf0b7\uf0a7\uf0d8\uf0fc"
_CAMEL_CASE = re.compile(r"[^\W\d_]*[a-z\u00df-\u00ff][A-Z\u00c0-\u00de][^\W\d_]*")
_WORD = re.compile(r"[^\W\d_]{2,}")
_RIGHT_TO_LEFT = {"R", "AL"}


@dataclass(frozen=True)
class Verdict:
    """The verdict on a page's text layer.

    Attributes:
        sound: whether it may stand for the page.
        score: 0 to 1; how much of it is as text of a language is, and is what the page shows.
        why: what speaks for it, or the first thing that speaks against it.
        is_language: whether its text is that of a language, even if it may not be all that the page shows.
        is_blank: whether the page has nothing on it.
    """

    sound: bool
    score: float
    why: str
    is_language: bool = False
    is_blank: bool = False


def judge(text: str, facts: LayerFacts) -> Verdict:
    """Return what a text layer is worth.

    Args:
        text: the layer, as Markdown.
        facts: its figures.
    """
    if facts.blank and not facts.flags:
        return Verdict(True, 1.0, "nothing is drawn on the page", is_blank=True)  # noqa: FBT003 - its first field
    if not text.strip():
        return Verdict(False, 0.0, "the page has no text layer")  # noqa: FBT003 - as above
    found = likeness(text)
    against = list(_against_text(text, facts, found))
    partly = list(_against_page(text, facts))
    doubt = max(facts.unexplained, facts.over_pictures, _share(facts.hidden + facts.without_ink, facts))
    score = round(min(1.0, found.share) * (1 - min(1.0, doubt)) * (0.5 if against else 1.0), 3)
    why = next(iter((*against, *partly)), f"{found.share:.0%} of its letter pairs are usual in {found.language}")
    return Verdict(not against and not partly, score, why, is_language=not against)


def _against_text(text: str, facts: LayerFacts, found: Likeness) -> Iterator[str]:
    """Yield what tells that the text is not what its glyphs show."""
    unreadable = sum(count for character, count in _beyond_ascii(text) if _is_unreadable(character))
    if unreadable:
        yield f"{unreadable} of its characters have no meaning (private use, or not decoded)"
    if len(_MOJIBAKE.findall(text)) > 1:
        yield "its characters are decoded wrongly, as UTF-8 read as Windows-1252"
    if found.pairs < _LEAST_PAIRS:
        yield f"it has too few words to tell whether they are right ({found.pairs} pairs of letters)"
    elif found.share < (_PAGE if found.pairs >= _MANY_PAIRS else _FEW):
        yield f"it is like no known language: {found.share:.0%} of its letter pairs are usual in the nearest"
    words = _WORD.findall(text)
    if sum(1 for word in words if _CAMEL_CASE.fullmatch(word)) > max(2, _CAMEL * len(words)):
        yield "capitals stand within its words, as in a wrong encoding"
    yield from _against_fonts(facts)
    if found.foreign > _FOREIGN:
        yield f"{found.foreign:.0%} of its letters are of a script that is not judged"


def _against_fonts(facts: LayerFacts) -> Iterator[str]:
    """Yield what tells that one of the fonts has another encoding than the text says."""
    rest, untold, whole = "", 0, 0
    for sample in facts.fonts:
        found, count = likeness(sample), len(sample.replace(" ", ""))
        whole += count
        if found.pairs < _FONT_PAIRS:
            rest += f" {sample}"
            untold += count if found.pairs < _LEAST_PAIRS else 0
        elif found.share < _FONT:
            yield f"the text in one of its fonts is like no known language ({found.share:.0%} of its letter pairs)"
    found = likeness(rest)
    if found.pairs >= _LEAST_PAIRS and found.share < _FONT - 0.1:
        yield f"the text in its less used fonts is like no known language ({found.share:.0%} of its letter pairs)"
    if untold > _UNTOLD * whole:
        yield "much of it is in fonts without words to tell whether they are right"


def _against_page(text: str, facts: LayerFacts) -> Iterator[str]:
    """Yield what tells that the text is not all that the page shows, or more than it shows, or in another order."""
    if facts.flags:
        yield f"the page is flagged: {facts.flags[0][0]}"
    if facts.truncated:
        yield "it has more text than is taken from one page"
    if facts.vertical:
        yield "it has vertical writing"
    if facts.hidden:
        yield f"{_share(facts.hidden, facts):.0%} of it is invisible, as the text of an earlier OCR is"
    if facts.without_ink > _MANY_LETTERS:
        yield f"{facts.without_ink} of its letters are not to be seen on the page"
    if facts.over_pictures > _OVER_PICTURES:
        yield f"{facts.over_pictures:.0%} of its words stand on a picture"
    if facts.unexplained > _UNEXPLAINED:
        what = "a picture or a drawing" if facts.pictures else "a drawing"
        yield f"{facts.unexplained:.0%} of what looks like print is not in it: {what} may hold text"
    if facts.tiny:
        yield f"{facts.tiny} of its characters are smaller than 3 points"
    if _share(facts.turned, facts) > _TURNED:
        yield f"{_share(facts.turned, facts):.0%} of it runs in another direction"
    if any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character, _ in _beyond_ascii(text)):
        yield "it has text from right to left"


def _share(count: int, facts: LayerFacts) -> float:
    return min(1.0, count / max(1, facts.characters))


def _beyond_ascii(text: str) -> Iterable[tuple[str, int]]:
    """Return the characters of a text that are not ASCII, and how often each is there."""
    return () if text.isascii() else Counter(character for character in text if not character.isascii()).items()


def _is_unreadable(character: str) -> bool:
    return (unicodedata.category(character) in {"Co", "Cn"} and character not in _BULLETS) or character == "\ufffd"
