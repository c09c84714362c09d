"""Tells whether a page that Tesseract read is in a script or language that it was not asked to read. Pure.

An engine for one language reads another with confidence, and wrongly: `GriiBe` for `Grüße`. Its letters give that away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tasks.core.flags import Flag, FlagName
from tasks.embedded.errors import InvalidNameError
from tasks.embedded.languages import languages_of
from tasks.embedded.models import full_name
from tasks.text.common_words import count_common_words
from tasks.text.language import Likeness, likeness
from tasks.text.letter_pairs import PAIRS

# By Tesseract's name: ISO 639-1 code and name of each language whose text is recognised.
_LANGUAGES = {
    **{"eng": ("en", "English"), "deu": ("de", "German"), "fra": ("fr", "French"), "spa": ("es", "Spanish")},
    **{"ita": ("it", "Italian"), "por": ("pt", "Portuguese"), "nld": ("nl", "Dutch"), "pol": ("pl", "Polish")},
    **{"swe": ("sv", "Swedish"), "dan": ("da", "Danish"), "nor": ("nb", "Norwegian"), "fin": ("fi", "Finnish")},
    **{"ces": ("cs", "Czech"), "hun": ("hu", "Hungarian"), "ron": ("ro", "Romanian"), "tur": ("tr", "Turkish")},
    **{"hrv": ("hr", "Croatian"), "slk": ("sk", "Slovak"), "slv": ("sl", "Slovenian"), "cat": ("ca", "Catalan")},
    **{"ind": ("id", "Indonesian"), "rus": ("ru", "Russian"), "ukr": ("uk", "Ukrainian"), "bul": ("bg", "Bulgarian")},
    **{"ell": ("el", "Greek"), "chi_sim": ("zh", "Chinese"), "jpn": ("ja", "Japanese"), "kor": ("ko", "Korean")},
}
_NAMES = {code: f"{name} ({tesseract})" for tesseract, (code, name) in _LANGUAGES.items()}
_EASTERN = {"zh", "ja", "ko"}
_CODES = {tesseract: code for tesseract, (code, _) in _LANGUAGES.items()} | {"chi_tra": "zh", "deu_latf": "de"}

# Fewest words of a page, and of a paragraph, that are common in the other language, and their least part of all words.
_PAGE, _PARAGRAPH = (8, 0.12), (6, 0.2)
# Fewest pairs of letters that tell anything; the least part of them, and then of the words, that are usual.
_PAIRS, _USUAL_PAIRS = 80, 0.82
_WORDS, _USUAL_WORDS, _PAIRS_OF_FEW_WORDS = 50, 0.03, 0.88
_BLANK_LINE = re.compile(r"\n\s*\n")


def languages_read(model: str) -> tuple[str, ...]:
    """Return the languages that a model of Tesseract reads, as Tesseract names them; none for other models."""
    try:
        return languages_of(full_name(model))
    except InvalidNameError:
        return ()


def foreign_flag(text: str, languages: Sequence[str]) -> Flag | None:
    """Return a flag if a page's text is of another script or language than it was read in.

    Args:
        text: the page's.
        languages: that it was read in, as Tesseract names them. Nothing can be told if one of them is unknown here.
    """
    codes = {_CODES.get(language.removesuffix("_vert"), "") for language in languages}
    if not codes or "" in codes:
        return None
    why = _why_foreign(text, codes, "+".join(languages))
    remedy = "Name its languages (--languages), or use a vision model."
    return Flag(name=FlagName.LANGUAGE, detail=f"{why} {remedy}") if why else None


def _why_foreign(text: str, codes: set[str], asked: str) -> str | None:
    found = likeness(text, codes)
    if found.language in _EASTERN:
        is_asked = found.language in codes or "ja" in codes  # with few kana, Japanese is like Chinese
        return None if is_asked else f"Its text reads like {_NAMES[found.language]}, but it was read as {asked}."
    if other := _other_language(text, codes, *_PAGE):
        return f"Its text reads like {_NAMES[other]}, but it was read as {asked}."
    parts = (_other_language(part, codes, *_PARAGRAPH) for part in _BLANK_LINE.split(text))
    if other := next(filter(None, parts), None):
        return f"A part of it reads like {_NAMES[other]}, but it was read as {asked}."
    if codes <= PAIRS.keys() and (unlike := _unlike(text, codes, found)):
        return f"Its text is not like {asked}: {unlike}. Its script or language may be another."
    return None


def _other_language(text: str, codes: set[str], least: int, share: float) -> str | None:
    """Return the language whose common words a text has, if it is none of these."""
    words, counts = count_common_words(text)
    best = max(counts, key=counts.__getitem__)
    of_asked = max((counts[code] for code in codes & counts.keys()), default=0)
    return best if counts[best] >= max(least, share * words, 2 * of_asked) and best not in codes else None


def _unlike(text: str, codes: set[str], found: Likeness) -> str | None:
    """Return why a text is of none of these languages; None if it may be."""
    if found.pairs < _PAIRS:
        return None
    if found.share < _USUAL_PAIRS:
        return f"{found.share:.0%} of its letter pairs are usual there"
    words, counts = count_common_words(text)
    usual = sum(counts.get(code, words) for code in codes)
    if words >= _WORDS and usual < _USUAL_WORDS * words and found.share < _PAIRS_OF_FEW_WORDS:
        return f"{usual} of its {words} words are common there"
    return None
