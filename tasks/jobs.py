"""The frozen models, one a stage: Job (asked), Plan (decided), PageResult (read), Manifest (told)."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasks.errors import FailureReason

SCHEMA_VERSION: Literal[1] = 1


class Frozen(BaseModel):
    """Immutable, and strict about names, so that a misspelt option is an error and not a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class BackendName(StrEnum):
    """Where Ollama runs."""

    AUTO = "auto"
    EMBEDDED = "embedded"
    OLLAMA = "ollama"
    URL = "url"


class Job(Frozen):
    """What is asked for: the parameters of the flow `process_document`, and its form in the UI.

    A field left empty takes the worker's setting (HEARTH_*).
    """

    document: str = Field(title="PDF", description="Path of the PDF, on the machine that runs the flow.")
    pages: str | None = Field(None, title="Pages", description="Which pages; all if empty.", examples=["3,7-9"])
    backend: BackendName | None = Field(None, title="Backend", description="Where the model runs.")
    model: str | None = Field(None, title="Model", description="Ollama's name for it; the backend's default if empty.")
    prompt: str | None = Field(None, title="Prompt", description="What the model is told about each page image.")
    output: str | None = Field(None, title="Output", description="Directory of the results.")
    slots: int | None = Field(None, ge=1, le=256, title="Slots", description="Pages in flight at once, at the most.")
    longest_side: int | None = Field(
        None, ge=64, le=8192, title="Longest side", description="Of the page images, in pixels."
    )
    num_ctx: int | None = Field(None, ge=256, title="num_ctx", description="Context of the model, in tokens.")
    num_predict: int | None = Field(None, ge=1, title="num_predict", description="Most tokens a page may take.")
    attempts: int | None = Field(None, ge=1, le=20, title="Attempts", description="At each page, at the most.")
    force: bool = Field(False, title="Force", description="Read again what has been read before.")
    require_gpu: bool = Field(False, title="Require GPU", description="Fail if the model does not fit in GPU memory.")
    password_env: str | None = Field(
        None, title="Password variable", description="Environment variable that holds the PDF's password."
    )


class ReadOptions(Frozen):
    """All that decides what a page's answer is, beside the page and the model."""

    prompt: str
    longest_side: int
    num_ctx: int
    num_predict: int


class Document(Frozen):
    """A PDF that was opened and found usable.

    Attributes:
        path: where it is.
        sha256: of the file's bytes, 64 hex digits.
        pages: how many it has.
        size: in bytes.
    """

    path: Path
    sha256: str
    pages: int
    size: int

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem


class Plan(Frozen):
    """What a run will do: a Job with every blank filled in.

    Attributes:
        numbers: the pages to be read, counted from 1, ascending.
        slots: how many pages in flight are asked for; what is measured may be fewer.
        attempts: at each page, at the most.
    """

    document: Document
    numbers: tuple[int, ...]
    backend: BackendName
    model: str
    options: ReadOptions
    output: Path
    slots: int
    attempts: int
    force: bool
    require_gpu: bool
    password_env: str | None

    def identity(self, number: int, digest: str) -> str:
        """The page's identity: what has the same one is never read twice.

        Made of the page (the PDF's sha256 and the page number), the model's digest, the prompt and
        the options; the temperature is left out, since it is part of the way and not of the request.

        Args:
            number: the page, counted from 1.
            digest: the model's, as Ollama's /api/tags tells it.

        Returns:
            64 hex digits.
        """
        facts = [self.document.sha256, number, digest, self.options.model_dump(mode="json")]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


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


class Manifest(Frozen):
    """A run's account, as manifest.json holds it.

    Attributes:
        read_now: how many of the pages this run read; the others stood already.
        endpoint: None when nothing was left to read, so that no server was needed.
        warm_seconds: from asking for a server to the first page's start.
        read_seconds: from the first page's start to the last page's end.
        cost_usd: 0 for the backends of this machine and for servers that others pay for.
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
