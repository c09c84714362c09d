"""What is stored of a page: PageResult, frozen, its schema versioned; and its line in a manifest."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import Field

from tasks.core.errors import FailureReason
from tasks.core.flags import Flag
from tasks.core.jobs import Frozen
from tasks.inference.schema import Timing

SCHEMA_VERSION: Literal[1] = 1


def _none(flags: tuple[Flag, ...]) -> bool:
    return not flags


class PageStatus(StrEnum):
    """How a page ended."""

    READ = "read"
    BLANK = "blank"
    """Nothing is on it: every pixel is alike, so that no model was asked."""
    FAILED = "failed"


class Attempt(Frozen):
    """One try at a page: at which temperature, for how many seconds, and why it failed (None: it did not)."""

    temperature: float
    seconds: float
    reason: FailureReason | None = None
    detail: str | None = None


class PageResult(Frozen):
    """One page, as pages/NNNN.json holds it.

    Attributes:
        identity: see `Plan.identity`.
        width, height: of the image that was read, in pixels.
        dpi: its resolution, dots an inch.
        seconds: from the first attempt's start to the last one's end, without waiting for a slot.
        tokens_in, tokens_out: Ollama's prompt_eval_count and eval_count of the answer that was kept.
        flags: what a person should know of it.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    page: int
    identity: str
    status: PageStatus
    text: str = ""
    reason: FailureReason | None = None
    detail: str | None = None
    model: str
    digest: str
    width: int = 0
    height: int = 0
    dpi: float = 0.0
    seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    timing: Timing = Timing()
    attempts: tuple[Attempt, ...] = ()
    # Left out where there are none, so that versions which know no flags understand all other pages.
    flags: tuple[Flag, ...] = Field((), exclude_if=_none)
    finished_at: datetime

    @property
    def settled(self) -> bool:
        """Whether the page needs no more reading."""
        return self.status is not PageStatus.FAILED

    def stored_since(self, moment: datetime | None) -> bool:
        """Whether the page was not stored before a moment; True if there is none."""
        return moment is None or self.finished_at >= moment

    def strictly(self) -> PageResult:
        """The page as a strict run has it: failed if it is flagged."""
        if not self.flags or not self.settled:
            return self
        detail = "; ".join(map(str, self.flags))
        update = {"status": PageStatus.FAILED, "reason": FailureReason.FLAGGED, "detail": detail}
        return self.model_copy(update=update)


class PageEntry(Frozen):
    """A page in the manifest: its result without the text."""

    page: int
    status: PageStatus
    identity: str
    reason: FailureReason | None
    detail: str | None
    attempts: tuple[Attempt, ...]
    seconds: float
    tokens_in: int
    tokens_out: int
    flags: tuple[Flag, ...] = Field((), exclude_if=_none)

    @property
    def why(self) -> str:
        """What is to be said of a page that failed: its failure's detail, and its flags unless they are that."""
        detail = self.detail or ""
        told = [] if self.reason is FailureReason.FLAGGED else [str(flag) for flag in self.flags]
        return "; ".join(filter(None, (detail.rstrip("."), *told))) if told else detail

    @classmethod
    def of(cls, result: PageResult) -> PageEntry:
        """The entry of a result."""
        return cls(**{name: getattr(result, name) for name in cls.model_fields})
