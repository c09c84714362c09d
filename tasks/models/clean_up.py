"""From what a model was trained to write to Markdown: pure functions, one a step.

What they take out is named, so that a page can be flagged; what they do not understand stays as it is.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from tasks.models.doctags import doctags_to_markdown
from tasks.models.profile import CleanUp
from tasks.models.tables import html_tables_to_markdown

_FRONT_MATTER = re.compile(r"\A\s*---[ \t]*\n(.*?)\n---[ \t]*(?:\n|\Z)", re.DOTALL)
_LARGEST_FRONT_MATTER = 2_000
"""Characters; what is longer is a page between two rules."""
FRONT_MATTER_KEYS = frozenset(
    {"primary_language", "is_rotation_valid", "rotation_correction", "is_table", "is_diagram"}
)
"""What olmOCR's prompt asks for (olmocr/prompts/prompts.py)."""

_DET = r"<\|det\|>\s*\[\[[\d\s.,\[\]]*\]\]\s*<\|/det\|>"
_GROUNDED = re.compile(rf"<\|ref\|>(?P<text>.*?)<\|/ref\|>(?P<det>{_DET})?[ \t]*(?P<end>\n?)", re.DOTALL)
_LOOSE_DET = re.compile(rf"{_DET}[ \t]*\n?")
_LABELS = frozenset(
    {
        *("title", "sub_title", "text", "list", "table", "table_caption", "table_footnote", "image", "image_caption"),
        *("figure", "figure_caption", "equation", "formula", "header", "footer", "page_number", "reference", "code"),
    }
)
"""What DeepSeek-OCR calls the blocks of a page; anything else between its tags is text of the page."""

_BOXED_IMAGE = re.compile(r"(!\[[^\]\n]*\]\([^)\n]*\))[ \t]*\d{1,4}(?:\.\d+)?(?:,\d{1,4}(?:\.\d+)?){3}(?![\d,])")
"""LightOnOCR-2's bbox models write an image's place behind it: `![image](image_1.png)x1,y1,x2,y2`, in thousandths."""

_BLOCK_MATH = re.compile(r"\\\[(.+?)\\\]", re.DOTALL)
_INLINE_MATH = re.compile(r"\\\((.+?)\\\)", re.DOTALL)


@dataclass(frozen=True)
class CleanedUp:
    """An answer in Markdown.

    Attributes:
        text: of the page.
        removed: what was taken out that a person may want to know of, a few words each.
        facts: what the model said of the page beside its text, such as `rotation_correction` (degrees).
    """

    text: str
    removed: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def clean_up(text: str, steps: Sequence[CleanUp]) -> CleanedUp:
    """Apply steps to an answer, in order."""
    found = CleanedUp(text)
    for step in steps:
        done = _STEPS[step](found.text)
        found = CleanedUp(done.text, (*found.removed, *done.removed), {**found.facts, **done.facts})
    return found


def _front_matter(text: str) -> CleanedUp:
    """Take olmOCR's front matter off the text. A block with other keys is text of the page."""
    match = _FRONT_MATTER.match(text)
    if match is None or len(match[1]) > _LARGEST_FRONT_MATTER:
        return CleanedUp(text)
    try:
        values = yaml.safe_load(match[1])
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: a date that does not exist
        return CleanedUp(text)
    if not isinstance(values, dict) or not FRONT_MATTER_KEYS & values.keys():
        return CleanedUp(text)
    others = sorted(str(key) for key in values.keys() - FRONT_MATTER_KEYS)
    removed = (f"front matter with {', '.join(others)}",) if others else ()
    facts = {key: value for key, value in values.items() if key in FRONT_MATTER_KEYS}
    return CleanedUp(text[match.end() :].lstrip("\n"), removed, facts)


def _grounding(text: str) -> CleanedUp:
    """Take DeepSeek-OCR's tags and boxes out; text between its tags stays."""

    def replacement(match: re.Match[str]) -> str:
        label = match["text"].strip()
        return "" if match["det"] and label in _LABELS else match["text"] + match["end"]

    plain = _LOOSE_DET.sub("", _GROUNDED.sub(replacement, text))
    return CleanedUp(plain.replace("<|grounding|>", ""))


def _boxes(text: str) -> CleanedUp:
    return CleanedUp(_BOXED_IMAGE.sub(r"\1", text))


def _doctags(text: str) -> CleanedUp:
    return CleanedUp(doctags_to_markdown(text))


def _math(text: str) -> CleanedUp:
    r"""Write `\[ \]` and `\( \)` as `$$` and `$`, as everything that renders Markdown knows them."""
    text = _BLOCK_MATH.sub(lambda match: f"$${match[1]}$$", text)
    return CleanedUp(_INLINE_MATH.sub(lambda match: f"${match[1].strip()}$", text))


def _tables(text: str) -> CleanedUp:
    return CleanedUp(html_tables_to_markdown(text))


_STEPS: dict[CleanUp, Callable[[str], CleanedUp]] = {
    CleanUp.FRONT_MATTER: _front_matter,
    CleanUp.GROUNDING: _grounding,
    CleanUp.BOXES: _boxes,
    CleanUp.DOCTAGS: _doctags,
    CleanUp.MATH: _math,
    CleanUp.TABLES: _tables,
}
