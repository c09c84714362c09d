"""Read the documents of a batch over the same slots, and report each."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from itertools import islice
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import CancelledRun, Pause

from flows.engine.batch_observer import BatchObserver
from flows.engine.document import read_document
from flows.engine.document_block import MOST_SINGLE_DOCUMENTS, DocumentBlock
from flows.engine.outcomes import task_state
from flows.engine.pages import BLOCK, cancelled_task, task_group
from flows.engine.server_group import SharedServerGroup
from flows.orchestrator.expected_errors import QUIET
from flows.orchestrator.pausing import raise_if_paused, until_paused
from flows.ui.artifacts import log_to_run
from tasks.batches.batch import Batch, Source, find_documents
from tasks.batches.document_index import DocumentIndex
from tasks.batches.shards import Weighed, weighed
from tasks.core.budget import Budget
from tasks.core.errors import HearthError, IncompleteError, InputError
from tasks.core.escaping import escape_line
from tasks.core.events import Listener, RunWarning, emit, subscribe
from tasks.core.jobs import Job
from tasks.reading.layer_reader import pages_left
from tasks.results.manifest import Manifest
from tasks.results.report import Report
from tasks.results.rows import DocumentStatus, Row, shared_out
from tasks.runs.advice import insight, layers_advice
from tasks.runs.run_stats import RunStats
from tasks.settings.reading import LimitSettings
from tasks.settings.settings import Settings
from tasks.storage.files import StoragePath

_OPENING = 8
"""Most documents that are open before all their pages have begun: while one is read, the next are being opened."""


# Not a run within the run: Prefect takes seconds to begin one, and short documents would leave slots idle meanwhile.
@task(name="read-document", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False, **QUIET)
async def read_document_task(
    began: datetime, name: str, job: Job, servers: SharedServerGroup, all_begun: Callable[[], None]
) -> State[Manifest]:
    """Read one document of a batch, shown in the UI as `name`; see `read_document`."""
    try:
        with subscribe(log_to_run):
            reading = read_document(job, began, task_state, shared=servers, all_admitted=all_begun)
            return await until_paused(reading)
    except (Pause, asyncio.CancelledError):
        return cancelled_task()


@dataclass
class BatchReader:
    """Documents that this run reads over the same slots. Use `run`.

    Args:
        since: when the run began first; pages that are read anew are read once since then.
    """

    batch: Batch
    settings: Settings
    output: StoragePath
    budget: Budget
    since: datetime
    rows: list[Row] = field(default_factory=list)
    error: HearthError | None = None

    async def run(self, sources: Sequence[str]) -> Report:
        """Read the documents that are new or have changed, and return the report.

        Raises:
            HearthError: no server or model is available, or results cannot be stored.
        """
        batch, settings, budget = self.batch, self.settings, self.budget
        began, started = datetime.now(UTC), time.monotonic()
        index = DocumentIndex(self.output, batch, settings)
        stats = RunStats(settings.idle_minutes * 60, settings.read.longest_side)
        observer = BatchObserver(stats)
        opening = asyncio.Semaphore(_OPENING)
        stopped = ""
        servers = SharedServerGroup(batch, settings, observer, budget, _pages(sources, index, batch, settings))
        async with index, servers:
            async with task_group() as documents:
                async for found, block in self._blocks(self._unread(sources, index)):
                    for source in found:
                        await opening.acquire()
                        stopped = servers.stopped or budget.exhausted(servers.usd) or ""
                        if stopped or self.error is not None:
                            self.rows.append(Row(document=source.name, status=DocumentStatus.LEFT))
                            opening.release()
                            continue
                        reading = self._document(source, servers, index, observer, cache(opening.release), block)
                        document = documents.create_task(reading)
                        if block is not None:
                            block.begun(document, documents)
                    if block is not None:
                        block.close()
            stopped = stopped or servers.stopped
            usd = servers.usd
        if self.error is not None:
            raise self.error
        minutes = round((time.monotonic() - started) / 60, 2)
        rows = shared_out(sorted(self.rows, key=lambda row: row.document), usd)
        figures = stats.figures()
        advice = insight(figures).told if figures.read else ""
        advice = " ".join(filter(None, (advice, layers_advice(*observer.layers(figures.read)))))
        return Report(
            started_at=began,
            minutes=minutes,
            usd=round(usd, 6),
            rows=rows,
            stopped=stopped,
            first_token=stats.first_token(),
            insight=advice,
        )

    def _unread(self, sources: Sequence[str], index: DocumentIndex) -> Iterator[Source]:
        """Yield the documents that are new or have changed, and add the rows of the others."""
        for source in find_documents(sources, warn):
            if (row := index.unchanged(source)) is not None:
                self.rows.append(row)
            else:
                yield source

    async def _blocks(self, unread: Iterator[Source]) -> AsyncIterator[tuple[list[Source], DocumentBlock | None]]:
        """Yield the documents one by one, or in blocks of 25 if there are more than 50; found as they are read."""
        found = await asyncio.to_thread(_next, unread, MOST_SINGLE_DOCUMENTS + 1)
        size, first = 1 if len(found) <= MOST_SINGLE_DOCUMENTS else BLOCK, 1
        while found:
            sources, found = found[:size], found[size:]
            yield sources, None if size == 1 else DocumentBlock(sources, first)
            first += len(sources)
            if size > 1 and len(found) < size:
                found += await asyncio.to_thread(_next, unread, size)

    async def _document(
        self,
        source: Source,
        servers: SharedServerGroup,
        index: DocumentIndex,
        observer: Listener,
        all_begun: Callable[[], None],
        block: DocumentBlock | None,
    ) -> None:
        """Read one document, as a task run or in a block that is one, and add its row."""
        name, job = escape_line(source.path.name), self.batch.job(source.path)
        try:
            with subscribe(observer, alone=True):
                if block is None:
                    # Prefect's types do not know that an async task's state is awaited, too.
                    read: Any = read_document_task
                    state = await read(self.since, name, job, servers, all_begun, return_state=True)
                    outcome = await state.aresult(raise_on_failure=False)
                else:
                    with subscribe(block.listener(name)):
                        outcome = await self._outcome(job, servers, all_begun, counted=source is block.sample)
        finally:
            all_begun()
        row = self._row(source, outcome)
        if isinstance(outcome, Manifest):
            index.note(source, row)
        self.rows.append(row)
        if block is not None:
            block.add(row)

    async def _outcome(
        self, job: Job, servers: SharedServerGroup, all_begun: Callable[[], None], *, counted: bool
    ) -> object:
        """Read one document without a task run, and return its manifest, or Hearth's error."""
        try:
            return await read_document(
                job,
                self.since,
                lambda _, manifest: manifest,
                shared=servers,
                all_admitted=all_begun,
                shown=False,
                counted=counted,
            )
        except HearthError as error:
            return error

    def _row(self, source: Source, outcome: Any) -> Row:  # noqa: ANN401 - whatever a task run ends with
        """Return the row of a document."""
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
                # No server, or no room for results: every other document would fail in the same way.
                self.error = self.error or outcome
                return Row(document=source.name, status=DocumentStatus.LEFT, why=str(outcome))
            case CancelledRun():
                raise_if_paused()
                raise asyncio.CancelledError
        raise outcome


def warn(message: str) -> None:
    """Emit a warning about the batch's sources."""
    emit(RunWarning(message))


def _next(sources: Iterator[Source], count: int) -> list[Source]:
    return list(islice(sources, count))


def weigh(source: Source, batch: Batch, limits: LimitSettings) -> Weighed:
    """Return a document with the number of pages that a model has to read; see `weighed`."""
    return weighed(source, limits, batch.pages, partial(pages_left, limits=limits, layer=batch.text_layer))


def _pages(sources: Sequence[str], index: DocumentIndex, batch: Batch, settings: Settings) -> Iterator[int]:
    """Yield how many pages a model has to read of each document that has any."""
    with suppress(HearthError):  # the same error is raised when the source is read
        for source in find_documents(sources):
            left = index.left(source)
            if left is None:
                left = weigh(source, batch, settings.limits).pages
            if left > 0:
                yield left
