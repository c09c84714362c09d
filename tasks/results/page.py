"""The stored result of a page, with a versioned schema, and the page's line in a manifest."""

from __future__ import annotations

import json
import operator
from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field, JsonValue

from tasks.core.corrections import Correction
from tasks.core.errors import FailureReason
from tasks.core.flags import Flag
from tasks.core.jobs import LAYER_VERSION, Frozen
from tasks.inference.schema import Timing

_LINE_SEPARATORS = "\u0085\u2028\u2029"
"""Characters that some readers of lines take for an end of line."""
SCHEMA_VERSION: Literal[1] = 1


def json_line(text: str) -> str:
    """Return JSON without line breaks as a line that every reader takes for one."""
    for separator in _LINE_SEPARATORS:
        text = text.replace(separator, f"\\u{ord(separator):04x}")
    return f"{text}\n"


def _is_unknown(value: object) -> bool:
    return value is None


def _is_model(source: object) -> bool:
    return source is PageSource.MODEL


class PageStatus(StrEnum):
    """How a page ended."""

    READ = "read"
    BLANK = "blank"
    """Nothing is on it: all pixels are equal, so that no request was sent."""
    FAILED = "failed"


class PageSource(StrEnum):
    """The source of a page's text."""

    MODEL = "model"
    TEXT_LAYER = "text-layer"
    """The page's own text layer; no model was asked."""
    TEXT_LAYER_FALLBACK = "text-layer-fallback"
    """The page's own text layer, after the model had failed at it."""


class LayerRecord(Frozen):
    """The judgement of a page's text layer.

    Attributes:
        score: 0 to 1; how much of it is as text of a language is, and is what the page shows.
        why: what speaks for it, or the first thing that speaks against it.
        version: of what extracted and judged it.
    """

    score: float
    why: str
    version: int = LAYER_VERSION


class Attempt(Frozen):
    """One attempt at a page: its temperature and seconds, and why it failed (None if it did not)."""

    temperature: float
    seconds: float
    reason: FailureReason | None = None
    detail: str | None = None


class PageEntry(Frozen):
    """A page in the manifest: its result without the text.

    Attributes:
        identity: see `Plan.identity`.
        seconds: seconds of all attempts, without waiting for a slot.
        tokens_in, tokens_out: Ollama's prompt_eval_count and eval_count of the final response.
        confidence: geometric mean of the probabilities of its tokens, 0 to 1; None if it is not known.
        first_seconds: from the final request to its first token, by the run's clock; None if it is not known.
        claims: what the model says of the page beside its text, such as olmOCR's `rotation_correction`; unchecked.
        flags: what a person should know of the page.
        source: where its text comes from.
        layer: how its text layer was judged, if its text is that.
        correction: how its image was turned and straightened before it was read; None if it was not.
    """

    page: int
    status: PageStatus
    identity: str
    reason: FailureReason | None = None
    detail: str | None = None
    attempts: tuple[Attempt, ...] = ()
    seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    # Left out if unknown or empty, so that versions without it can read all other pages.
    confidence: float | None = Field(None, exclude_if=_is_unknown)
    first_seconds: float | None = Field(None, exclude_if=_is_unknown)
    claims: dict[str, str | int | bool | None] = Field({}, exclude_if=operator.not_)
    flags: tuple[Flag, ...] = Field((), exclude_if=operator.not_)
    # Versions that do not know of text layers take such a page for missing, and read it.
    source: PageSource = Field(PageSource.MODEL, exclude_if=_is_model)
    layer: LayerRecord | None = Field(None, exclude_if=_is_unknown)
    # Likewise.
    correction: Correction | None = Field(None, exclude_if=_is_unknown)

    @property
    def why(self) -> str:
        """Why the page failed: the failure's detail, and the page's flags unless they are the failure."""
        detail = self.detail or ""
        flags = [] if self.reason is FailureReason.FLAGGED else [str(flag) for flag in self.flags]
        return "; ".join(filter(None, (detail.rstrip("."), *flags))) if flags else detail

    @classmethod
    def of(cls, result: PageResult) -> PageEntry:
        """Return the entry of a result."""
        return cls(**{name: getattr(result, name) for name in cls.model_fields})


class PageResult(PageEntry):
    """One page, as pages/NNNN.json holds it.

    Attributes:
        data: the page's, if its answer followed a JSON Schema; its text then is the same data as JSON in a fence.
        width, height: of the image that was read, in pixels.
        dpi: its resolution, dots an inch.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    text: str = ""
    # Left out if there is none, so that versions without it can read all other pages.
    data: JsonValue = Field(None, exclude_if=_is_unknown)
    model: str
    digest: str
    width: int = 0
    height: int = 0
    dpi: float = 0.0
    timing: Timing = Timing()
    finished_at: datetime

    @property
    def settled(self) -> bool:
        """Whether the page has been read."""
        return self.status is not PageStatus.FAILED

    def stored_since(self, moment: datetime | None) -> bool:
        """Return whether the page was stored at a moment or later; True if that is None."""
        return moment is None or self.finished_at >= moment

    def data_line(self) -> str:
        """Return the page's line in data.jsonl: its number, its status, and its data or why it has none."""
        facts = {"page": self.page, "status": self.status.value, "data": self.data if self.settled else None}
        if self.reason:
            facts["reason"] = self.reason.value
        return json_line(json.dumps(facts, ensure_ascii=False))

    def strictly(self) -> PageResult:
        """Return the page as a strict run counts it: failed if it is flagged."""
        if not self.flags or not self.settled:
            return self
        detail = "; ".join(map(str, self.flags))
        update = {"status": PageStatus.FAILED, "reason": FailureReason.FLAGGED, "detail": detail}
        return self.model_copy(update=update)
