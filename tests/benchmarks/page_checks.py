"""Checks of single facts of a page's text, in the format of olmOCR-bench: a JSON object a line.

Kinds (allenai/olmocr f7cfe4c, olmocr/bench/tests.py): `present` and `absent` (text), `order` (before, after), `table`
(cell, and what is up, down, left, right of it, top_heading, left_heading), `math` (LaTeX), `format` (heading, bold,
italic), `footnote` (marker, and the text beside it), `baseline` (something was read, and no loop). Each names a `pdf`,
a `page` counted from 1, and an `id`; `max_diffs` characters may differ, as rapidfuzz counts them.

They pass and fail as olmOCR-bench's do, with two exceptions: formulas are compared as text, where it compares their
pictures, and the loop of `baseline` is what Hearth takes for one.
"""

from __future__ import annotations

import json
import re
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator
from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein

from tasks.core.errors import InputError
from tasks.text.loops import find_loop
from tests.benchmarks.table_checks import TableFacts, tables_of

_SIGNS = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a", "'"),
        **dict.fromkeys("\u201c\u201d\u201e", '"'),
        **dict.fromkeys("\u2011\u2012\u2013\u2014\u2212", "-"),
        "\uff3f": "_",
        "\u00b5": "\u03bc",
    }
)
_EMPHASIS = (
    (r"<br/?>", " "),
    (r"\*\*(.*?)\*\*", r"\1"),
    (r"__(.*?)__", r"\1"),
    (r"</?[bi]>", ""),
    (r"(\*|_)(.*?)\1", r"\2"),
)
_FORMULAS = tuple(
    re.compile(pattern, re.DOTALL) for pattern in (r"\\\((.+?)\\\)", r"\\\[(.+?)\\\]", r"\$\$(.+?)\$\$", r"\$(.+?)\$")
)
_FORMATS = {
    "heading": ((r"^#{1,6}\s+(.+?)$", re.MULTILINE), (r"<h[1-6][^>]*>(.*?)</h[1-6]>", re.IGNORECASE | re.DOTALL)),
    "bold": (
        (r"\*\*(.*?)\*\*", re.DOTALL),
        (r"__(.*?)__", re.DOTALL),
        (r"<(?:b|strong)[^>]*>(.*?)</(?:b|strong)>", re.IGNORECASE | re.DOTALL),
    ),
    "italic": (
        (r"(?<!\*)\*(?!\*)(.*?)(?<!\*)\*(?!\*)", re.DOTALL),
        (r"(?<!_)_(?!_)(.*?)(?<!_)_(?!_)", re.DOTALL),
        (r"<(?:i|em)[^>]*>(.*?)</(?:i|em)>", re.IGNORECASE | re.DOTALL),
    ),
}
_FOREIGN = re.compile("[\u4e00-\u9fff\u3040-\u30ff\U0001f600-\U0001f64f\U0001f300-\U0001f6ff\U0001f1e0-\U0001f1ff]")
"""What `baseline` takes for garbage, unless `check_disallowed_characters` is false."""
_SUPERSCRIPT = str.maketrans("0123456789", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
_MOST_WRONG = 10
_BESIDE = 200
"""Characters before and after a footnote's mark that are looked at."""


def plain(text: str) -> str:
    """Return a text as it is compared: without emphasis, with one form of each character, quote, dash and space."""
    for pattern, replacement in _EMPHASIS:
        text = re.sub(pattern, replacement, text)
    return unicodedata.normalize("NFC", re.sub(r"\s+", " ", text)).translate(_SIGNS)


def places(wanted: str, text: str, most: int) -> list[int]:
    """Return where a text begins in another, with at most so many insertions, deletions and other characters.

    As fuzzysearch's `find_near_matches`; of matches that overlap, the first of the best.
    """
    if not most:
        return [match.start() for match in re.finditer(re.escape(wanted), text)]
    # Sellers' algorithm: each column holds, for each prefix of `wanted`, the least distance and where its match begins.
    column = [(row, 0) for row in range(len(wanted) + 1)]
    ends: list[tuple[int, int, int]] = []
    for at, sign in enumerate(text, 1):
        last, column = column, [(0, at)]
        for row, letter in enumerate(wanted, 1):
            (over, start), (left, before), (above, begun) = last[row - 1], last[row], column[row - 1]
            column.append(min((over + (sign != letter), start), (left + 1, before), (above + 1, begun)))
        distance, start = column[-1]
        if distance <= most:
            ends.append((start, distance, at))
    found: list[tuple[int, int, int]] = []
    for start, distance, end in ends:
        if found and start < found[-1][2]:
            if distance < found[-1][1]:
                found[-1] = (start, distance, end)
        else:
            found.append((start, distance, end))
    return [start for start, _, _ in found]


class Check(BaseModel, ABC):
    """What all checks have."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pdf: str = Field(min_length=1)
    page: int = Field(1, ge=1)
    id: str = Field(min_length=1)
    max_diffs: int = Field(0, ge=0)

    @abstractmethod
    def passes(self, text: str) -> bool:
        """Return whether a page's text passes."""

    def least(self, wanted: str) -> float:
        """Return the similarity, 0 to 1, of texts that are the same but for `max_diffs` characters."""
        return 1 - self.max_diffs / max(1, len(wanted))

    def holds(self, wanted: str, text: str) -> bool:
        """Return whether a text has a part that is the same as another but for `max_diffs` characters."""
        return fuzz.partial_ratio(wanted, text) / 100 >= self.least(wanted)


class _Worded(Check, ABC):
    """A check with texts to look for."""

    @field_validator("text", "before", "after", check_fields=False)
    @classmethod
    def _plain(cls, text: str) -> str:
        if not plain(text).strip():
            raise ValueError("it is empty")
        return plain(text)


class TextCheck(_Worded):
    """A text is there, or is not."""

    type: Literal["present", "absent"]
    text: str
    case_sensitive: bool = True
    first_n: int | None = None
    last_n: int | None = None

    def passes(self, text: str) -> bool:
        """See `Check`."""
        wanted, text = self.text, plain(text)
        if not self.case_sensitive:
            wanted, text = wanted.lower(), text.lower()
        if self.first_n or self.last_n:
            text = text[: self.first_n or 0] + (text[-self.last_n :] if self.last_n else "")
        return self.holds(wanted, text) is (self.type == "present")


class OrderCheck(_Worded):
    """A text stands before another, somewhere."""

    type: Literal["order"]
    before: str
    after: str

    @model_validator(mode="after")
    def _told_apart(self) -> OrderCheck:
        if self.max_diffs > min(len(self.before), len(self.after)) // 2:
            raise ValueError("max_diffs is more than half of a text")
        return self

    def passes(self, text: str) -> bool:
        """See `Check`."""
        text = plain(text)
        first, last = (places(wanted, text, self.max_diffs) for wanted in (self.before, self.after))
        return bool(first and last) and min(first) < max(last)


class FormatCheck(_Worded):
    """A text is a heading, bold or italic."""

    type: Literal["format"]
    text: str
    format: Literal["heading", "bold", "italic"]
    case_sensitive: bool = True

    def passes(self, text: str) -> bool:
        """See `Check`."""
        found = [plain(part) for pattern, flags in _FORMATS[self.format] for part in re.findall(pattern, text, flags)]
        if self.case_sensitive:
            return any(self.holds(self.text, part) for part in found)
        return any(self.holds(self.text.lower(), part.lower()) for part in found)


class FootnoteCheck(Check):
    """A footnote's mark is there, raised, and beside it the text that belongs to it."""

    type: Literal["footnote"]
    marker: str = Field(min_length=1, pattern=r"^\S+$")
    appears_before_marker: str | None = None
    appears_after_marker: str | None = None

    def passes(self, text: str) -> bool:
        """See `Check`."""
        mark = re.escape(self.marker)
        forms = [rf"\[\^{mark}\](?!:)", rf"(?i:<sup[^>]*>{mark}</sup>)"]
        forms += [self.marker.translate(_SUPERSCRIPT)] if re.fullmatch("[0-9]+", self.marker) else []
        found = [match.span() for form in forms for match in re.finditer(form, text)]
        before = [_letters(text[max(0, start - _BESIDE) : start]) for start, _ in found]
        after = [_letters(text[end : end + _BESIDE]) for _, end in found]
        return bool(found) and all(
            not wanted or any(self._stands(plain(wanted), beside, at_end=at_end) for beside in parts)
            for wanted, parts, at_end in (
                (self.appears_before_marker, before, True),
                (self.appears_after_marker, after, False),
            )
        )

    def _stands(self, wanted: str, beside: str, *, at_end: bool) -> bool:
        letters = _letters(wanted)
        near = beside[-2 * len(letters) :] if at_end else beside[: 2 * len(letters)]
        return bool(near) and fuzz.partial_ratio(letters, near) / 100 >= self.least(wanted)


def _letters(text: str) -> str:
    return "".join(character for character in plain(text) if character.isalnum()).lower()


class TableCheck(Check):
    """A cell has others beside it."""

    type: Literal["table"]
    cell: str = Field(min_length=1)
    up: str = ""
    down: str = ""
    left: str = ""
    right: str = ""
    top_heading: str = ""
    left_heading: str = ""
    ignore_markdown_tables: bool = False

    def passes(self, text: str) -> bool:
        """See `Check`."""
        return any(self._in(table) for table in tables_of(text, markdown=not self.ignore_markdown_tables))

    def _in(self, table: TableFacts) -> bool:
        sides = ("up", "down", "left", "right", "top_heading", "left_heading")
        wanted = {side: plain(value) for side in sides if (value := getattr(self, side))}
        return any(
            all(
                any(self._alike(text, table.text[other]) for other in table.beside(place, side))
                for side, text in wanted.items()
            )
            for place, cell in table.text.items()
            if self._alike(plain(self.cell), cell)
        )

    def _alike(self, wanted: str, found: str) -> bool:
        return fuzz.ratio(wanted, plain(found)) / 100 >= max(0.5, self.least(wanted))


class MathCheck(Check):
    """A formula is there."""

    type: Literal["math"]
    math: str = Field(min_length=1)
    ignore_dollar_delimited: bool = False

    def passes(self, text: str) -> bool:
        """See `Check`."""
        wanted, formulas = _folded(self.math), list[str]()
        for pattern in _FORMULAS[: 2 if self.ignore_dollar_delimited else None]:
            formulas += pattern.findall(text)
            text = pattern.sub("", text)
        return any(Levenshtein.distance(wanted, _folded(formula)) <= self.max_diffs for formula in formulas)


def _folded(formula: str) -> str:
    """Return LaTeX without what does not change its picture."""
    formula = re.sub(r"\\(?:left|right|displaystyle|,|;|:|!|quad|qquad)(?![a-zA-Z])", "", formula)
    formula = re.sub(r"\\(?:text|mathrm|operatorname)\{([^{}]*)\}", r"\1", formula)
    formula = re.sub(r"([_^])\{(\\?\w)\}", r"\1\2", formula)
    return re.sub(r"\s+", "", formula).replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac").rstrip(".,")


class BaselineCheck(Check):
    """Something was read, and not in a loop; or hardly anything, where `max_length` says that the page is blank."""

    type: Literal["baseline"]
    max_length: int | None = None
    max_length_skips_image_alt_tags: bool = False
    check_disallowed_characters: bool = True

    def passes(self, text: str) -> bool:
        """See `Check`."""
        if self.max_length is not None and self.max_length_skips_image_alt_tags:
            text = re.sub(r"!\[.*?\]\(.*?\)", "", text)
        letters = sum(character.isalnum() for character in text)
        if self.max_length is not None:
            return letters <= self.max_length
        foreign = self.check_disallowed_characters and _FOREIGN.search(text)
        return letters > 0 and not foreign and find_loop(text, cut=False) is None


_Kind = TextCheck | OrderCheck | TableCheck | MathCheck | FormatCheck | FootnoteCheck | BaselineCheck
_CHECK: TypeAdapter[Check] = TypeAdapter(Annotated[_Kind, Field(discriminator="type")])


def load_checks(path: Path) -> list[Check]:
    """Return the checks in a file.

    Raises:
        InputError: it cannot be read or has no checks, or lines are no checks, or have an id twice; each is named.
    """
    checks, wrong = list[Check](), list[str]()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The checks in {path} cannot be read: {error}.") from None
    ids = Counter[str]()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            check = _CHECK.validate_python(json.loads(line))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"][1:])
            wrong.append(f"line {number}: {field + ': ' if field else ''}{first['msg']}")
            continue
        except (ValueError, RecursionError) as error:
            wrong.append(f"line {number}: {error}")
            continue
        ids[check.id] += 1
        if ids[check.id] > 1:
            wrong.append(f"line {number}: the id {check.id} occurs before")
        checks.append(check)
    if wrong:
        more = f", and {len(wrong) - _MOST_WRONG} more" if len(wrong) > _MOST_WRONG else ""
        raise InputError(f"{path} has lines that are no checks: {'; '.join(wrong[:_MOST_WRONG])}{more}. Correct them.")
    if not checks:
        raise InputError(f"{path} has no checks.")
    return checks
