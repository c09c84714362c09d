"""Many documents on the same servers: a nightly batch."""

# No postponed annotations here: a served flow is pickled, and would lose sight of `Batch`.

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import CancelledRun, Pause
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.engine.batch_observer import BatchObserver, Relay
from flows.engine.pages import cut_off, together
from flows.engine.shard_runs import ShardRuns, merged
from flows.engine.shared_server_group import SharedServerGroup
from flows.orchestrator.blocks import resolved
from flows.orchestrator.pausing import raise_if_paused
from flows.orchestrator.run_events import ProgressEvents, tell_left
from flows.orchestrator.termination import ended_by_sigterm
from flows.process_document import process
from flows.ui.artifacts import log_to_run, show_report
from flows.ui.live_artifacts import Live
from tasks.batches.batch import Batch, Source, find_documents
from tasks.batches.document_index import DocumentIndex
from tasks.batches.shards import Shard, balanced, weighed
from tasks.core.budget import Budget
from tasks.core.errors import HearthError, IncompleteError, InputError
from tasks.core.events import Listener, Progress, RunStarted, RunWarning, emit, subscribe, subscribe_only
from tasks.core.jobs import Job
from tasks.core.visible import log_visibly, visible_line
from tasks.documents.shared_processes import shared_processes
from tasks.reading.events import RunEnded
from tasks.results.manifest import Manifest
from tasks.results.report import DocumentStatus, Report, Row, shared_out
from tasks.runs.advice import insight
from tasks.runs.run_stats import RunStats
from tasks.settings.settings import Settings, load_settings
from tasks.storage.files import Place

# Documents whose pages have not all begun: one begins its pages, the others are being opened meanwhile.
_OPENING = 8


def _run_name() -> str:
    batch = Batch.model_validate(flow_run.parameters["batch"])
    if batch.part:
        return f"part {batch.part}"
    more = f" and {len(batch.sources) - 1} more" if len(batch.sources) > 1 else ""
    return f"batch of {visible_line(Path(batch.sources[0]).name) if batch.sources else 'the inbox'}{more}"


@flow(name="process-batch", flow_run_name=_run_name, persist_result=False)
async def process_batch(batch: Batch) -> State[Report]:
    """Read all documents of a batch that are new or have changed, on the same servers.

    Each document is a task run that does what `process_document` does. One that cannot be read does not keep the others
    from it.

    Args:
        batch: what to read, and what it may cost.

    Returns:
        Completed, named Partial if documents or pages failed, Stopped if the budget left some, or Failed if none could
        be read; with the report.

    Raises:
        HearthError: the request is wrong, or no server is to be had.
    """
    log_visibly()
    with ended_by_sigterm(), subscribe(log_to_run), subscribe(ProgressEvents()):
        if flow_run.ui_url:
            emit(RunStarted(flow_run.ui_url))
        settings = load_settings()
        try:
            run = _Run(batch, await resolved(batch), settings)
            async with shared_processes(), Live("batch", settings, has_pages=False) as live:
                with subscribe(live):
                    report = await run.read()
        except HearthError as error:
            emit(RunEnded(error))
            raise
        except Pause:
            tell_left()
            raise
        emit(RunEnded(report))
        await show_report(report)
    return _final_state(report)


class _Run:
    """One run: of a whole batch, shared with other runs or not, or of a part.

    Args:
        asked: as it was asked for.
        batch: its output block resolved.
    """

    def __init__(self, asked: Batch, batch: Batch, settings: Settings) -> None:
        self._asked, self._batch, self._settings = asked, batch, settings
        self._output = batch.directory(settings)
        self._began, self._started = datetime.now(UTC), time.monotonic()

    async def read(self) -> Report:
        """Read what is asked for, and write the report."""
        batch, output = self._batch, self._output
        if batch.part:
            part = await asyncio.to_thread(Shard.named, batch.part, output)
            report = await self._read_part(part)
            await asyncio.to_thread(part.write_report, report, output)
            return report
        sources = batch.sources or (str(self._settings.inbox),)
        if batch.workers > 1:
            report = await self._shared(find_documents(sources, _note))
        else:
            budget = Budget(batch.max_usd, batch.max_minutes, batch.ends_at(self._began), self._started)
            report = await _Batch(batch, self._settings, output, budget).run(sources)
        emit(Progress(f"the report is {report.write(output)}"))
        return report

    async def _shared(self, sources: Iterator[Source]) -> Report:
        """Read with other runs what is new or has changed."""
        shelf = self._shelf()
        known: list[Row] = []
        documents = []
        for source in await asyncio.to_thread(list, sources):
            row = shelf.unchanged(source)
            if row is not None:
                known.append(row)
            else:
                documents.append(await asyncio.to_thread(weighed, source, self._settings.limits))
        shards = balanced(documents, self._batch.workers, self._batch.worker_pages)
        parts = ShardRuns(self._asked, self._output, self._began, self._read_part, self._shelf)
        return merged(await parts.read(shards) if shards else [], known, self._began)

    async def _read_part(self, part: Shard) -> Report:
        budget = Budget(part.max_usd, finish_by=part.ends_at)
        batch = _Batch(self._batch, self._settings, self._output, budget)
        return await batch.run(part.documents)

    def _shelf(self) -> DocumentIndex:
        return DocumentIndex(self._output, self._batch, self._settings)


# Not a run within the run: Prefect takes seconds to begin one, and short documents would leave slots idle meanwhile.
@task(name="read-document", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)
async def read_document(name: str, job: Job) -> State[Manifest]:
    """Read one document of a batch; `name` is what it is called in the UI. See `process_document`."""
    try:
        return await process(job, in_batch=True)
    except (Pause, asyncio.CancelledError):
        return cut_off()


@dataclass
class _Batch:
    """Documents that this run reads over the same slots."""

    batch: Batch
    settings: Settings
    output: Place
    budget: Budget
    rows: list[Row] = field(default_factory=list)
    trouble: HearthError | None = None

    async def run(self, sources: Sequence[str]) -> Report:
        """Read what is to be read of what they name."""
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
                for source in find_documents(sources, _note):
                    known = shelf.unchanged(source)
                    if known is not None:
                        self.rows.append(known)
                        continue
                    await opening.acquire()
                    stopped = shared.stopped or budget.spent(shared.usd) or ""
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
                # Prefect's types do not know that an async task's state is awaited, too.
                run: State[Manifest] = await cast("Any", read_document)(
                    visible_line(source.path.name), self.batch.job(source.path), return_state=True
                )
            outcome: Manifest | BaseException | None = await run.aresult(raise_on_failure=False)
        finally:
            all_begun()
        if isinstance(outcome, Manifest):
            row = Row.of(source.name, outcome)
            shelf.note(source, row)
        elif isinstance(outcome, InputError):
            growing = isinstance(outcome, IncompleteError) and source.is_fresh()
            status = DocumentStatus.LEFT if growing else DocumentStatus.FAILED
            row = Row(document=source.name, status=status, why=str(outcome))
        elif isinstance(outcome, HearthError):
            # No server, or no room for results: it would be so for every other document, too.
            self.trouble = self.trouble or outcome
            row = Row(document=source.name, status=DocumentStatus.LEFT, why=str(outcome))
        elif outcome is None:  # the budget was spent before its first page
            row = Row(document=source.name, status=DocumentStatus.LEFT)
        elif isinstance(outcome, CancelledRun):
            raise_if_paused()
            raise asyncio.CancelledError
        else:
            raise outcome
        self.rows.append(row)


def _note(told: str) -> None:
    emit(RunWarning(told))


def _pages(sources: Sequence[str], shelf: DocumentIndex, settings: Settings) -> Iterator[int]:
    """That are to be read, of each document that has some."""
    with suppress(HearthError):  # whoever reads them says what is wrong with a source
        for source in find_documents(sources):
            left = shelf.left(source)
            if left is None or left > 0:
                yield weighed(source, settings.limits).pages if left is None else left


def _once(call: Callable[[], None]) -> Callable[[], None]:
    """Whoever calls it first makes the call."""
    called = False

    def first() -> None:
        nonlocal called
        if not called:
            called = True
            call()

    return first


def _final_state(report: Report) -> State[Report]:
    told = "; ".join(f"{name} {value}" for name, value in report.totals().items())
    failed = report.count(DocumentStatus.FAILED)
    if failed and failed == len(report.rows):
        return Failed(message=told, data=report)
    if report.count(DocumentStatus.LEFT):
        return Completed(name="Stopped", message=told, data=report)
    if failed or report.count(DocumentStatus.PARTIAL):
        return Completed(name="Partial", message=told, data=report)
    return Completed(message=told, data=report)
