"""Checks of single facts of a page's text, in the format of olmOCR-bench: a JSON object a line.

Kinds (allenai/olmocr, olmocr/bench): `present` and `absent` (text), `order` (before, after), `table` (cell, and what is
up, down, left, right of it, top_heading, left_heading), `math` (LaTeX), `baseline` (something was read, and no loop).
Each names a `pdf`, a `page` counted from 1, and an `id`; `max_diffs` characters may differ. The scores are not olmOCR-
bench's own: formulas are compared as text, where it compares their pictures.
"""

from __future__ import annotations

import json
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from rapidfuzz import fuzz

from tasks.core.errors import InputError
from tasks.models.tables import table_grids
from tasks.text.loops import find_loop

_QUOTES = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a", "'"),
        **dict.fromkeys("\u201c\u201d\u201e", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        "\u00b5": "\u03bc",
    }
)
_EMPHASIS = re.compile(r"(\*\*|__|\*|_)(?=\S)(.+?)(?<=\S)\1|</?(?:b|i|strong|em)>")
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$|\\\[(.+?)\\\]|\\\((.+?)\\\)", re.DOTALL)
_LEAST_ALIKE = 0.5


def plain(text: str) -> str:
    """Return a text as it is compared: without emphasis, with one form of each character, quote, dash and space."""
    text = re.sub(r"<br\s*/?>", " ", text)
    text = _EMPHASIS.sub(lambda match: match[2] or "", text)
    return " ".join(unicodedata.normalize("NFC", text).translate(_QUOTES).split())


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

    def least_alike(self, wanted: str) -> float:
        """Return the similarity, 0 to 1, of texts that are the same but for `max_diffs` characters."""
        return max(_LEAST_ALIKE, 1 - self.max_diffs / max(1, len(wanted)))

    def alike(self, wanted: str, found: str, ratio: Callable[[str, str], float] = fuzz.ratio) -> bool:
        """Return whether two texts are the same but for `max_diffs` characters."""
        return ratio(wanted, found) / 100 >= self.least_alike(wanted)


class TextCheck(Check):
    """A text is there, or is not."""

    type: Literal["present", "absent"]
    text: str = Field(min_length=1)
    case_sensitive: bool = True
    first_n: int | None = None
    last_n: int | None = None

    def passes(self, text: str) -> bool:
        """See `Check`."""
        wanted, text = plain(self.text), plain(text)
        if not self.case_sensitive:
            wanted, text = wanted.lower(), text.lower()
        if self.first_n or self.last_n:
            text = text[: self.first_n or 0] + (text[-self.last_n :] if self.last_n else "")
        found = len(text) >= len(wanted) - self.max_diffs and self.alike(wanted, text, fuzz.partial_ratio)
        return found is (self.type == "present")


class OrderCheck(Check):
    """A text stands before another."""

    type: Literal["order"]
    before: str = Field(min_length=1)
    after: str = Field(min_length=1)

    def passes(self, text: str) -> bool:
        """See `Check`."""
        text = plain(text)
        first, last = (self._place(plain(wanted), text) for wanted in (self.before, self.after))
        return first is not None and last is not None and first < last

    def _place(self, wanted: str, text: str) -> int | None:
        found = fuzz.partial_ratio_alignment(wanted, text)
        return found.dest_start if found and found.score / 100 >= self.least_alike(wanted) else None


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

    def passes(self, text: str) -> bool:
        """See `Check`."""
        return any(self._in(grid) for grid in table_grids(text))

    def _in(self, grid: Sequence[Sequence[str]]) -> bool:
        rows = [[plain(cell.replace("\\|", "|")) for cell in row] for row in grid]
        wanted = {name: plain(getattr(self, name)) for name in ("up", "down", "left", "right")}
        for down, row in enumerate(rows):
            for across, cell in enumerate(row):
                if not self.alike(plain(self.cell), cell):
                    continue
                column = [line[across] for line in rows]
                beside = {
                    "up": _before(column, down, cell),
                    "down": _before(column[::-1], len(column) - 1 - down, cell),
                    "left": _before(row, across, cell),
                    "right": _before(row[::-1], len(row) - 1 - across, cell),
                }
                headings = ((self.top_heading, column[:down]), (self.left_heading, row[:across]))
                if all(not text or self.alike(text, beside[name]) for name, text in wanted.items()) and all(
                    not heading or any(self.alike(plain(heading), other) for other in others)
                    for heading, others in headings
                ):
                    return True
        return False


def _before(line: Sequence[str], place: int, cell: str) -> str:
    """Return the next other cell before a place; one that spans several places is there several times."""
    return next((other for other in reversed(line[:place]) if other != cell), "")


class MathCheck(Check):
    """A formula is there."""

    type: Literal["math"]
    math: str = Field(min_length=1)

    def passes(self, text: str) -> bool:
        """See `Check`."""
        wanted = _folded(self.math)
        formulas = (next(filter(None, match.groups()), "") for match in _FORMULA.finditer(text))
        return any(
            self.alike(wanted, _folded(formula)) if self.max_diffs else _folded(formula) == wanted
            for formula in formulas
        )


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

    def passes(self, text: str) -> bool:
        """See `Check`."""
        letters = sum(character.isalnum() for character in text)
        if self.max_length is not None:
            return letters <= self.max_length
        return letters > 0 and find_loop(text, cut=False) is None


_CHECK: TypeAdapter[Check] = TypeAdapter(
    Annotated[TextCheck | OrderCheck | TableCheck | MathCheck | BaselineCheck, Field(discriminator="type")]
)


def load_checks(path: Path) -> list[Check]:
    """Return the checks in a file.

    Raises:
        InputError: it cannot be read, or a line is no check; the line is named.
    """
    checks = []
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The checks in {path} cannot be read: {error}.") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            checks.append(_CHECK.validate_python(json.loads(line)))
        except (ValueError, ValidationError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise InputError(f"Line {number} of {path} is no check: {reason}.") from None
    return checks
