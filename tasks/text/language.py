"""Recognize language by pairs of letters, or by the common characters of Chinese, Japanese and Korean."""

from __future__ import annotations

import operator
import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from tasks.text.letter_pairs import PAIRS

_EAST_ASIAN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_HIRAGANA, _HANGUL = re.compile("[\u3041-\u3096]"), re.compile("[\uac00-\ud7af]")
_CHINESE = frozenset(
    "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后小么心多天而能好都然没日于起还发成事只作当想看文无开手"
    "這來國個說們為時會著過學對後麼沒還發當無開"
)
_PARTICLES = frozenset("のはにをがでとたしいるてなもれさ")
_KOREAN = frozenset("이다는을를에의가고로하지도한기은사시나인리아어서대자일정들과해있으라그수부것")
# The part of the characters that are so common: a third of running text and more, a few percent of exchanged ones.
_COMMON = 0.15


@dataclass(frozen=True)
class Likeness:
    """The likeness of a text to a language.

    Attributes:
        language: the language that it is most like, as ISO 639-1; empty if there is nothing to tell it by.
        pairs: pairs of letters, or East Asian characters, that it was told by.
        share: the part of them, 0 to 1, that is usual in the language.
        foreign: the part of its letters, 0 to 1, in scripts that are not known.
    """

    language: str = ""
    pairs: int = 0
    share: float = 0.0
    foreign: float = 0.0


def likeness(text: str, among: Collection[str] = PAIRS.keys()) -> Likeness:
    """Return how much a text is like the language that it is most like, of those whose pairs of letters are compared.

    East Asian text has no such pairs, and is told by its characters.
    """
    text = unicodedata.normalize("NFC", text)
    letters = sum(map(str.isalpha, text))
    eastern = _EAST_ASIAN.findall(text)
    if len(eastern) * 2 > letters > 0:
        return _eastern(eastern)
    lower = text.lower()
    neighbours = Counter(map(operator.add, lower, lower[1:]))
    pairs = {pair: count for pair, count in neighbours.items() if pair.isalpha()}
    foreign = 0.0 if text.isascii() else sum(map(_is_foreign, text)) / max(1, letters)
    count = sum(pairs.values())
    if not count:
        return Likeness(foreign=foreign)
    counted, compared = pairs.__getitem__, [language for language in PAIRS if language in among]
    shares = {language: sum(map(counted, PAIRS[language].intersection(pairs))) for language in compared}
    best = max(shares, key=shares.__getitem__, default="")
    return Likeness(best, count, shares.get(best, 0) / count, foreign)


def _eastern(characters: list[str]) -> Likeness:
    """Return the likeness to the language of East Asian characters, with 1 for as many common ones as usual."""
    text, count = "".join(characters), len(characters)
    if len(_HANGUL.findall(text)) * 2 > count:
        language, common = "ko", _KOREAN
    elif len(kana := _HIRAGANA.findall(text)) * 5 > count:
        return Likeness("ja", count, min(1.0, sum(each in _PARTICLES for each in kana) / len(kana) / _COMMON / 2))
    else:
        language, common = "zh", _CHINESE
    return Likeness(language, count, min(1.0, sum(each in common for each in characters) / count / _COMMON))


def _is_foreign(character: str) -> bool:
    """Return whether a letter is of a script without figures: neither Latin, Greek nor Cyrillic."""
    code = ord(character)
    # Latin, Greek and Cyrillic end at U+0530; Latin goes on at U+1E00 with Greek up to U+2000.
    return code >= 0x530 and not 0x1E00 <= code < 0x2000 and character.isalpha()
