"""What is asked for and what is decided: Job and Plan, frozen."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import PurePath

from pydantic import Field

from tasks.core.escaping import escape_line
from tasks.core.forms import BackendName, Fallback, Form, Frozen, Options
from tasks.core.paths import StoragePath

__all__ = [
    "ON_AWS",
    "BackendName",
    "Document",
    "Fallback",
    "Form",
    "Frozen",
    "Job",
    "Plan",
    "ReadOptions",
    "document_title",
]


ON_AWS = (BackendName.EC2, BackendName.ECS, BackendName.SAGEMAKER)
"""Those whose machines are a pool's, and cost money."""


_SHOWN = 100
_SHA256 = re.compile(r"[0-9a-f]{64}")


def document_title(name: str) -> str:
    """What a document is called before people: its file's name without the ending, in one line.

    One that is kept under its sha256 is called by eight digits of it.
    """
    return f"document {name[:8]}" if _SHA256.fullmatch(name) else escape_line(name)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


class Job(Options):
    """What to read, and how. What is left empty takes the worker's setting (HEARTH_*)."""

    usual = ("document", "pages", "model", "backend", "output")

    document: str = Field(
        title="PDF",
        description="Path of the PDF on the machine that runs the flow, or s3://bucket/key.",
        examples=["/data/paper.pdf", "s3://papers/inbox/paper.pdf"],
    )

    @property
    def run_name(self) -> str:
        """What its run is called in Prefect."""
        pages = f"pages {_short(escape_line(self.pages))}" if self.pages else "all pages"
        return f"{_short(document_title(PurePath(self.document).stem))}, {pages}"


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

    path: StoragePath
    sha256: str
    pages: int
    size: int

    @property
    def name(self) -> str:
        """The file's name without its ending, as it is shown everywhere."""
        return document_title(self.path.stem)


class Plan(Frozen):
    """What a run will do: a Job with every blank filled in.

    Attributes:
        numbers: the pages to be read, counted from 1, ascending.
        slots: how many pages in flight are asked for; what is measured may be fewer.
        attempts: at each page, at the most.
        force: pages are read anew, those apart that were stored since `began`.
        began: when the run did first, so that it goes on after an interruption with what is left.
        max_usd: no page is begun when the run's machines have cost so much.
        minutes: nor so long after the start.
        strict: a flagged page counts as failed.
        fallback: what is stored of a page that failed.
    """

    document: Document
    numbers: tuple[int, ...]
    backend: BackendName
    model: str
    options: ReadOptions
    output: StoragePath
    slots: int
    attempts: int
    force: bool
    require_gpu: bool
    began: datetime | None = None
    max_usd: float | None = None
    minutes: float | None = None
    strict: bool = False
    fallback: Fallback = Fallback.NONE

    @property
    def since(self) -> datetime | None:
        """Pages that were stored before do not count; None: whenever they were."""
        return (self.began or datetime.max.replace(tzinfo=UTC)) if self.force else None

    def identity(self, number: int, digest: str) -> str:
        """The page's identity; see `page_identity`."""
        return page_identity(self.document.sha256, number, digest, self.options)


def page_identity(sha256: str, number: int, digest: str, options: ReadOptions) -> str:
    """Return a page's identity: what has the same one is never read twice.

    Made of the page (the PDF's sha256 and the page number), the model's digest, the prompt and the options; the
    temperature is left out, since it is part of the way and not of the request.

    Args:
        sha256: the PDF's.
        number: the page, counted from 1.
        digest: the model's, as Ollama's /api/tags tells it.
        options: all else that decides what the answer is.

    Returns:
        64 hex digits.
    """
    facts = [sha256, number, digest, options.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
