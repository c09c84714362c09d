"""The rows of a batch's report, one a document."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from enum import StrEnum

from pydantic import Field

from tasks.core.flags import FlagName
from tasks.core.jobs import Frozen
from tasks.core.paths import format_path
from tasks.results.manifest import Manifest, RunStatus
from tasks.results.store import ResultStore
from tasks.storage.files import StoragePath


class DocumentStatus(StrEnum):
    """The status of a document in a batch."""

    READ = "read"
    PARTIAL = "partial"
    """Some of its pages failed, or it was changed while it was read."""
    UNCHANGED = "unchanged"
    """It had been read before; nothing was done."""
    LEFT = "left"
    """The budget was used up before all its pages were begun; the next run goes on with it."""
    FAILED = "failed"
    """It cannot be read at all."""


def text_of(output: StoragePath) -> str:
    """Return the path of a document's text, by the directory of its results."""
    return format_path(ResultStore(output).document_path)


def data_of(output: StoragePath) -> str:
    """Return the path of a document's data, by the directory of its results."""
    return format_path(ResultStore(output).data_path)


def _why(manifest: Manifest) -> str:
    if manifest.failed:
        return manifest.failed[0].why
    return next((str(flag) for flag in manifest.flags if flag.name is FlagName.CHANGED), "")


class Row(Frozen):
    """A document in a batch.

    Attributes:
        pages: pages of the document; 0 if it cannot be opened.
        read_now: pages that this batch read.
        failed: pages that failed.
        flagged: pages that were read, but are flagged.
        doubtful: pages whose confidence is low.
        unsure: pages whose confidence is not known.
        confidence: of the least confident page, 0 to 1; None if that of no page is known.
        left: pages that the next run will read, including those that failed.
        page_seconds: seconds in slots of all pages read now, added up.
        usd: its part of the machines' cost, by its page seconds.
        text: its document.md; empty while pages are left.
        data: its data.jsonl; empty while pages are left, or without a JSON Schema.
    """

    document: str
    status: DocumentStatus
    pages: int = 0
    read_now: int = 0
    failed: int = 0
    flagged: int = 0
    left: int = 0
    page_seconds: float = 0.0
    tokens: int = 0
    usd: float = 0.0
    why: str = ""
    output: str = ""
    text: str = Field("", exclude_if=operator.not_)
    data: str = Field("", exclude_if=operator.not_)
    # Left out if there is nothing to say, so that versions without them can read all other reports.
    doubtful: int = Field(0, exclude_if=operator.not_)
    unsure: int = Field(0, exclude_if=operator.not_)
    confidence: float | None = Field(None, exclude_if=lambda value: value is None)

    @classmethod
    def of(cls, document: str, manifest: Manifest) -> Row:
        """Return the row of a document that was read, by its manifest."""
        pages, failed = len(manifest.pages), len(manifest.failed)
        status = {RunStatus.STOPPED: DocumentStatus.LEFT, RunStatus.PARTIAL: DocumentStatus.PARTIAL}.get(
            manifest.status, DocumentStatus.READ
        )
        if manifest.changed:
            status = DocumentStatus.PARTIAL
        if status is DocumentStatus.READ and not manifest.read_now:
            status = DocumentStatus.UNCHANGED
        if failed and failed == pages:
            status = DocumentStatus.FAILED
        return cls(
            document=document,
            status=status,
            pages=manifest.document.pages,
            read_now=manifest.read_now,
            failed=failed,
            flagged=manifest.pages.flagged,
            doubtful=manifest.pages.doubted,
            unsure=manifest.pages.unsure,
            confidence=manifest.pages.confidence,
            left=manifest.document.pages - pages + failed,
            page_seconds=manifest.page_seconds,
            tokens=manifest.pages.tokens_in + manifest.pages.tokens_out,
            why=_why(manifest),
            output=format_path(manifest.output),
            text="" if manifest.status is RunStatus.STOPPED else text_of(manifest.output),
            data=data_of(manifest.output) if manifest.has_data else "",
        )


def shared_out(rows: Sequence[Row], usd: float) -> tuple[Row, ...]:
    """Return the rows with each document's part of the cost, by its page seconds."""
    seconds = sum(row.page_seconds for row in rows)
    return tuple(row.model_copy(update={"usd": round(usd * row.page_seconds / (seconds or 1), 6)}) for row in rows)
