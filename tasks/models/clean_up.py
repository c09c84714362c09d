"""From what a model was trained to write to Markdown: pure functions, one a step.

What they take out is named, so that a page can be flagged; what they do not understand stays as it is.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from tasks.core.calls import CleanUp
from tasks.models.doctags import doctags_to_markdown
from tasks.models.prose import CODE_SPAN, map_prose
from tasks.models.tables import html_tables_to_markdown, markdown_tables_to_html

_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\n(?P<lines>(?:\w+:[^\n]*\n){1,20})---[ \t]*(?:\n|\Z)")
_NOTHING = {"null", "none", "~", ""}
FRONT_MATTER_KEYS = frozenset(
    {"primary_language", "is_rotation_valid", "rotation_correction", "is_table", "is_diagram"}
)
"""What olmOCR's prompt asks for (olmocr/prompts/prompts.py)."""

_BOX = r"\[\[\s*\d[\d\s.,\[\]]*\]\]"
_DET = rf"<\|det\|>\s*{_BOX}\s*<\|/det\|>"
_GROUNDED = re.compile(rf"<\|ref\|>(?P<text>[^<]*(?:<(?!\|)[^<]*)*)<\|/ref\|>(?P<det>{_DET})?(?P<end>[ \t]*\n?)")
_LOOSE_DET = re.compile(rf"{_DET}[ \t]*\n?")
_LABELS = frozenset(
    {
        *("title", "sub_title", "text", "list", "table", "table_caption", "table_footnote", "image", "image_caption"),
        *("figure", "figure_caption", "equation", "formula", "header", "footer", "page_number", "reference", "code"),
    }
)
"""What DeepSeek-OCR calls the blocks of a page; anything else between its tags is text of the page."""
_BARE = re.compile(rf"^(?:{'|'.join(sorted(_LABELS))})[ \t]*{_BOX}[ \t]*(?:\n|\Z)", re.MULTILINE)
"""The same where a server takes special tokens out of its answers (docling, docling/utils/deepseekocr_utils.py)."""

_BOXED_IMAGE = re.compile(
    r"(!\[[^\[\]\n]{0,200}\]\([^()\n]{1,200}\))(\d{1,4}(?:\.\d+)?(?:,\d{1,4}(?:\.\d+)?){3})(?![\d,])"
)
"""LightOnOCR-2's bbox models write an image's place right behind it: `![image](image_1.png)x1,y1,x2,y2`."""
_LARGEST_PLACE = 1000.0

_IN_MATH = r"(?:[^\\\n]++|\n(?![ \t]*\n)|\\\\|\\(?![()\[\]\\]))*+"
_MATH = re.compile(
    rf"(?P<code>{CODE_SPAN})|(?<!\\)\\(?:\[(?P<block>{_IN_MATH})\\\]|\((?P<inline>{_IN_MATH})\\\)(?!\d))"
)
"""Formulas do not go on over an empty line; `\\\\[2pt]` in a matrix is a line's end."""


Claim: TypeAlias = str | int | bool | None


@dataclass(frozen=True)
class CleanedUp:
    """An answer in Markdown.

    Attributes:
        text: of the page.
        removed: what was taken out that a person may want to know of, a few words each.
        claims: what the model said of the page beside its text, such as `rotation_correction` (degrees).
    """

    text: str
    removed: tuple[str, ...] = ()
    claims: Mapping[str, Claim] = field(default_factory=dict)


def clean_up(text: str, steps: Sequence[CleanUp]) -> CleanedUp:
    """Apply steps to an answer, in order. Line ends of Windows become those of Unix."""
    found = CleanedUp(text.replace("\r\n", "\n"))
    for step in steps:
        done = _STEPS[step](found.text)
        found = CleanedUp(done.text, (*found.removed, *done.removed), {**found.claims, **done.claims})
    return found


def _front_matter(text: str) -> CleanedUp:
    """Take olmOCR's front matter off the text. A block of other keys, or of other lines, is text of the page."""
    match = _FRONT_MATTER.match(text.removeprefix("\ufeff"))
    if match is None:
        return CleanedUp(text)
    pairs = (line.partition(":") for line in match["lines"].splitlines())
    values = {key: value.strip() for key, _, value in pairs}
    if not FRONT_MATTER_KEYS & values.keys():
        return CleanedUp(text)
    others = sorted(values.keys() - FRONT_MATTER_KEYS)
    removed = (f"front matter with {', '.join(others)}",) if others else ()
    claims = {key: _claim(value) for key, value in values.items() if key in FRONT_MATTER_KEYS}
    return CleanedUp(text.removeprefix("\ufeff")[match.end() :].lstrip("\n"), removed, claims)


def _claim(value: str) -> Claim:
    word = value.strip("\"'").lower()
    if word in {"true", "false"}:
        return word == "true"
    if word in _NOTHING:
        return None
    return int(word) if re.fullmatch(r"-?\d{1,4}", word, re.ASCII) else value[:40]


def _grounding(text: str) -> CleanedUp:
    """Take DeepSeek-OCR's tags and boxes out; text between its tags stays."""

    def replacement(match: re.Match[str]) -> str:
        label = match["text"].strip()
        return "" if match["det"] and label in _LABELS else match["text"] + match["end"]

    plain = _LOOSE_DET.sub("", _GROUNDED.sub(replacement, text))
    return CleanedUp(_BARE.sub("", plain).replace("<|grounding|>", ""))


def _boxes(text: str) -> CleanedUp:
    def replacement(match: re.Match[str]) -> str:
        left, top, right, bottom = map(float, match[2].split(","))
        is_place = left <= right <= _LARGEST_PLACE and top <= bottom <= _LARGEST_PLACE
        return match[1] if is_place else match[0]

    return CleanedUp(_BOXED_IMAGE.sub(replacement, text))


def _doctags(text: str) -> CleanedUp:
    return CleanedUp(doctags_to_markdown(text))


def _math(text: str) -> CleanedUp:
    r"""Write `\[ \]` and `\( \)` as `$$` and `$`, as everything that renders Markdown knows them.

    Where the text has dollar signs of its own, such as prices, it keeps its delimiters: one could not tell which signs
    belong together.
    """

    def replacement(match: re.Match[str]) -> str:
        if match["block"] is not None:
            return f"$${match['block']}$$"
        return match[0] if match["inline"] is None else f"${match['inline'].strip()}$"

    return CleanedUp(text if "$" in text else map_prose(text, lambda prose: _MATH.sub(replacement, prose)))


def _tables(text: str) -> CleanedUp:
    return CleanedUp(html_tables_to_markdown(text))


def _html_tables(text: str) -> CleanedUp:
    return CleanedUp(markdown_tables_to_html(text))


_STEPS: dict[CleanUp, Callable[[str], CleanedUp]] = {
    CleanUp.FRONT_MATTER: _front_matter,
    CleanUp.GROUNDING: _grounding,
    CleanUp.BOXES: _boxes,
    CleanUp.DOCTAGS: _doctags,
    CleanUp.MATH: _math,
    CleanUp.TABLES: _tables,
    CleanUp.HTML_TABLES: _html_tables,
}
