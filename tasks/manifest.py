"""What is stored: PageResult, one a page, and Manifest, a run's account; frozen, their schema versioned."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from tasks.errors import FailureReason
from tasks.jobs import BackendName, Document, Frozen, ReadOptions

SCHEMA_VERSION: Literal[1] = 1


class PageStatus(StrEnum):
    """How a page ended."""

    READ = "read"
    BLANK = "blank"
    """Nothing is on it: every pixel is alike, so that no model was asked."""
    FAILED = "failed"


class Timing(Frozen):
    """Ollama's own durations of one answer, in seconds; absent fields count as 0."""

    total: float = 0.0
    load: float = 0.0
    prompt_eval: float = 0.0
    eval: float = 0.0

    @property
    def queue(self) -> float:
        """Seconds that the request waited inside the server."""
        return max(0.0, self.total - self.load - self.prompt_eval - self.eval)


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
    finished_at: datetime

    @property
    def settled(self) -> bool:
        """Whether the page needs no more reading."""
        return self.status is not PageStatus.FAILED


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

    @classmethod
    def of(cls, result: PageResult) -> PageEntry:
        """The entry of a result."""
        return cls(**{name: getattr(result, name) for name in cls.model_fields})


class RunStatus(StrEnum):
    """How a run ended."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    """Finished, but some pages failed."""
    STOPPED = "stopped"
    """It could not go on; the pages that were read stand."""


class EndpointRecord(Frozen):
    """The server that read the pages, and why it was this one."""

    backend: BackendName
    why: str
    url: str
    slots_asked: int
    slots: int
    note: str | None = None


class MachineRecord(Frozen):
    """A machine that was paid for while the run held it.

    Attributes:
        seconds: from taking it to giving it back, its start included if it was started for the run.
        usd: for these seconds, its disk not counted; None if its price is not known.
        ended: why the run left it before its pages were done; None if it did not.
    """

    id: str
    kind: str
    seconds: float
    usd: float | None
    ended: str | None = None


class Manifest(Frozen):
    """A run's account, as manifest.json holds it.

    Attributes:
        read_now: how many of the pages this run read; the others stood already.
        endpoint: None when nothing was left to read, so that no server was needed.
        warm_seconds: from asking for a server to the first page's start.
        read_seconds: from the first page's start to the last page's end.
        machines: what was paid for, in the order in which it was taken.
        cost_usd: of these machines, as far as their prices are known; 0 for the backends of this machine and for
            servers that others pay for.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    status: RunStatus
    document: Document
    model: str
    digest: str
    options: ReadOptions
    endpoint: EndpointRecord | None
    pages: tuple[PageEntry, ...]
    read_now: int
    started_at: datetime
    finished_at: datetime
    warm_seconds: float = 0.0
    read_seconds: float = 0.0
    machines: tuple[MachineRecord, ...] = ()
    cost_usd: float = 0.0
    flow_run_id: str | None = None
    output: Path

    def count(self, *statuses: PageStatus) -> int:
        """How many pages ended so."""
        return sum(entry.status in statuses for entry in self.pages)

    @property
    def failed(self) -> tuple[PageEntry, ...]:
        """The pages that failed."""
        return tuple(entry for entry in self.pages if entry.status is PageStatus.FAILED)

    def totals(self) -> dict[str, Any]:
        """The run in figures, for a summary or a program."""
        minutes = self.read_seconds / 60
        return {
            "status": self.status.value,
            "pages": len(self.pages),
            "read": self.count(PageStatus.READ),
            "blank": self.count(PageStatus.BLANK),
            "failed": len(self.failed),
            "read_now": self.read_now,
            "slots": self.endpoint.slots if self.endpoint else 0,
            "warm_seconds": round(self.warm_seconds, 3),
            "read_seconds": round(self.read_seconds, 3),
            "pages_per_minute": round(self.read_now / minutes, 1) if minutes else 0.0,
            "tokens_in": sum(entry.tokens_in for entry in self.pages),
            "tokens_out": sum(entry.tokens_out for entry in self.pages),
            "cost_usd": self.cost_usd,
        }
