"""Read documents of a batch over the same slots, and note what became of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prefect.client.schemas.objects import State
from prefect.exceptions import CancelledRun

from flows.engine.batch_observer import BatchObserver, Relay
from flows.engine.pages import together
from flows.engine.shared_server_group import SharedServerGroup
from flows.orchestrator.pausing import raise_if_paused
from tasks.batches.batch import Batch, Source, find_documents
from tasks.batches.document_index import DocumentIndex
from tasks.batches.shards import weighed
from tasks.core.budget import Budget
from tasks.core.errors import HearthError, IncompleteError, InputError
from tasks.core.escaping import escape_line
from tasks.core.events import Listener, RunWarning, emit, subscribe_only
from tasks.core.jobs import Job
from tasks.results.manifest import Manifest
from tasks.results.report import DocumentStatus, Report, Row, shared_out
from tasks.runs.advice import insight
from tasks.runs.run_stats import RunStats
from tasks.settings.settings import Settings
from tasks.storage.files import StoragePath

# Documents whose pages have not all begun: one begins its pages, the others are being opened meanwhile.
_OPENING = 8

Read = Callable[[str, Job], Awaitable[State[Manifest]]]
"""Reads one document, by its name in the UI, as a task run; its final state has the manifest or the error."""


@dataclass
class BatchReader:
    """Documents that this run reads over the same slots. Use `run`."""

    batch: Batch
    settings: Settings
    output: StoragePath
    budget: Budget
    read: Read
    rows: list[Row] = field(default_factory=list)
    trouble: HearthError | None = None

    async def run(self, sources: Sequence[str]) -> Report:
        """Read what is to be read of what they name.

        Raises:
            HearthError: no server or model is to be had, or results cannot be stored.
        """
        batch, budget, began, started = self.batch, self.budget, datetime.now(UTC), time.monotonic()
        shelf = DocumentIndex(self.output, batch, self.settings)
        meter = RunStats(self.settings.idle_minutes * 60, self.settings.read.longest_side)
        relay = Relay(copy_context(), meter)
        opening = asyncio.Semaphore(_OPENING)
        stopped = ""
        async with (
            shelf,
            SharedServerGroup(BatchObserver(meter), budget, _pages(sources, shelf, self.settings)) as shared,
        ):
            async with together() as documents:
                for source in find_documents(sources, warn):
                    known = shelf.unchanged(source)
                    if known is not None:
                        self.rows.append(known)
                        continue
                    await opening.acquire()
                    stopped = shared.stopped or budget.exhausted(shared.usd) or ""
                    if stopped or self.trouble is not None:
                        self.rows.append(Row(document=source.name, status=DocumentStatus.LEFT))
                        opening.release()
                        continue
                    documents.create_task(self._document(source, shared, shelf, relay, _once(opening.release)))
            stopped = stopped or shared.stopped
            usd = shared.usd
        if self.trouble is not None:
            raise self.trouble
        minutes = round((time.monotonic() - started) / 60, 2)
        rows = shared_out(sorted(self.rows, key=lambda row: row.document), usd)
        figures = meter.figures()
        told = insight(figures).told if figures.read else ""
        return Report(started_at=began, minutes=minutes, usd=round(usd, 6), rows=rows, stopped=stopped, insight=told)

    async def _document(
        self,
        source: Source,
        shared: SharedServerGroup,
        shelf: DocumentIndex,
        relay: Listener,
        all_begun: Callable[[], None],
    ) -> None:
        """Read one document, as a task run of its own."""
        try:
            with subscribe_only(relay), shared.used_here(all_begun):
                run = await self.read(escape_line(source.path.name), self.batch.job(source.path))
            outcome = await run.aresult(raise_on_failure=False)
        finally:
            all_begun()
        row = self._row(source, outcome)
        if isinstance(outcome, Manifest):
            shelf.note(source, row)
        self.rows.append(row)

    def _row(self, source: Source, outcome: Any) -> Row:  # noqa: ANN401 - whatever a task run ends with
        """What became of a document."""
        match outcome:
            case Manifest():
                return Row.of(source.name, outcome)
            case None:  # the budget was spent before its first page
                return Row(document=source.name, status=DocumentStatus.LEFT)
            case InputError():
                growing = isinstance(outcome, IncompleteError) and source.is_fresh()
                status = DocumentStatus.LEFT if growing else DocumentStatus.FAILED
                return Row(document=source.name, status=status, why=str(outcome))
            case HearthError():
                # No server, or no room for results: it would be so for every other document, too.
                self.trouble = self.trouble or outcome
                return Row(document=source.name, status=DocumentStatus.LEFT, why=str(outcome))
            case CancelledRun():
                raise_if_paused()
                raise asyncio.CancelledError
        raise outcome


def warn(told: str) -> None:
    """Tell what a person should know of the batch's sources."""
    emit(RunWarning(told))


def _pages(sources: Sequence[str], shelf: DocumentIndex, settings: Settings) -> Iterator[int]:
    """That are to be read, of each document that has some."""
    with suppress(HearthError):  # whoever reads them says what is wrong with a source
        for source in find_documents(sources):
            left = shelf.left(source)
            if left is None or left > 0:
                yield weighed(source, settings.limits, shelf.pages).pages if left is None else left


def _once(call: Callable[[], None]) -> Callable[[], None]:
    """Whoever calls it first makes the call."""
    called = False

    def first() -> None:
        nonlocal called
        if not called:
            called = True
            call()

    return first
