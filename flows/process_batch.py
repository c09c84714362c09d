"""Many documents on the same servers: a nightly batch."""

# No postponed annotations here: a served flow is pickled, and would lose sight of `Batch`.

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import Pause
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.engine.batch_reader import BatchReader, warn
from flows.engine.outcomes import batch_state, failed_state, task_state
from flows.engine.pages import cut_off
from flows.engine.shard_runs import ShardRuns, merged
from flows.orchestrator.blocks import resolved
from flows.orchestrator.expected_errors import QUIET
from flows.orchestrator.interruption import cancelled_if_interrupted
from flows.orchestrator.late_ends import end_written_down, forget_end
from flows.orchestrator.pausing import run_began
from flows.orchestrator.result_json import RESULT_JSON
from flows.orchestrator.run_events import ProgressEvents, tell_left
from flows.orchestrator.termination import ended_by_sigterm
from flows.process_document import process
from flows.ui.artifacts import log_to_run, show_report
from flows.ui.live_artifacts import Live
from tasks.batches.batch import Batch, Source, find_documents
from tasks.batches.document_index import DocumentIndex
from tasks.batches.one_at_a_time import AlreadyReadError, one_at_a_time
from tasks.batches.shards import Shard, balanced, weighed, why_fewer
from tasks.core.budget import Budget
from tasks.core.errors import HearthError
from tasks.core.escaping import escape_line, escape_logs
from tasks.core.events import Progress, RunStarted, emit, subscribe
from tasks.core.jobs import Job
from tasks.documents.shared_processes import shared_processes
from tasks.reading.events import RunEnded
from tasks.results.batch_result import BatchResult
from tasks.results.manifest import Manifest
from tasks.results.report import Report, Row
from tasks.retention.clean import clean_files
from tasks.runs.check_batch import check_batch, missing_inbox, sources_of
from tasks.settings.settings import Settings, load_settings
from tasks.storage.files import StoragePath

_ONE_AT_A_TIME = "nightly"
"""A tag: of the runs that have it, one reads the same sources into the same results at a time."""


def _run_name() -> str:
    batch = Batch.model_validate(flow_run.parameters["batch"])
    if batch.part:
        return f"part {batch.part}"
    more = f" and {len(batch.sources) - 1} more" if len(batch.sources) > 1 else ""
    return f"batch of {escape_line(Path(batch.sources[0]).name) if batch.sources else 'the inbox'}{more}"


@flow(
    name="process-batch",
    flow_run_name=_run_name,
    persist_result=True,
    result_serializer=RESULT_JSON,
    on_completion=[forget_end],
    on_failure=[forget_end],
)
async def process_batch(batch: Batch) -> State[BatchResult]:
    """Read all documents of a batch that are new or have changed, on the same servers.

    Each document is a task run that does what `process_document` does. One that cannot be read does not keep the others
    from it.

    Args:
        batch: What to read, how, and what it may cost. What is left empty is taken from the worker's settings.

    Returns:
        Completed, named Partial if documents or pages failed, Stopped if the budget left some, or Skipped if no source
        is named and the inbox does not exist, or if a run with the tag `nightly` finds another at it; with the
        result. Whoever awaits the call gets the result itself, a `BatchResult`.

    Raises:
        HearthError: the request is wrong, no server is to be had, or no document could be read. The run's state is
            Failed, with the same sentence.
    """
    escape_logs()
    with (
        ended_by_sigterm() as terminated,
        end_written_down() as written_down,
        subscribe(log_to_run),
        subscribe(ProgressEvents()),
    ):
        async with cancelled_if_interrupted(terminated):
            if flow_run.ui_url:
                emit(RunStarted(flow_run.ui_url))
            try:
                return await _read(batch, load_settings(), written_down)
            except HearthError as error:
                emit(RunEnded(error))
                return written_down(failed_state(error))
            except Pause:
                tell_left()
                raise


async def _read(
    asked: Batch, settings: Settings, known: Callable[[State[BatchResult]], State[BatchResult]]
) -> State[BatchResult]:
    batch = await resolved(asked)
    output = batch.directory(settings)
    if why := missing_inbox(batch, settings):
        return known(_skipped(why, output))
    run = _Run(asked, batch, settings)
    try:
        async with shared_processes(), Live("batch", settings, has_pages=False) as live:
            with subscribe(live):
                report = await run.read()
    except AlreadyReadError:
        why = "Another nightly run reads the same sources. It reads what is new, too, and the next one does."
        return known(_skipped(why, output))
    state = known(batch_state(BatchResult.of(report, output, run.written)))  # before Prefect is shown it
    emit(RunEnded(report))
    await show_report(report)
    return state


def _skipped(why: str, output: StoragePath) -> State[BatchResult]:
    nothing = Report(started_at=datetime.now(UTC), minutes=0, usd=0, rows=(), stopped=why)
    emit(RunEnded(nothing))
    return Completed(name="Skipped", message=why, data=BatchResult.of(nothing, output, None))


class _Run:
    """One run: of a whole batch, shared with other runs or not, or of a part.

    Args:
        asked: as it was asked for.
        batch: its output block resolved.

    Attributes:
        written: the report's path, when it is written.
    """

    def __init__(self, asked: Batch, batch: Batch, settings: Settings) -> None:
        self._asked, self._batch, self._settings = asked, batch, settings
        self._output = batch.directory(settings)
        self._began, self._started = datetime.now(UTC), time.monotonic()
        self._since = run_began()
        self.written: StoragePath | None = None

    async def read(self) -> Report:
        """Read what is asked for, and write the report."""
        batch, output = self._batch, self._output
        if batch.part:
            part = await asyncio.to_thread(Shard.named, batch.part, output)
            report = await self._read_part(part)
            self.written = await asyncio.to_thread(part.write_report, report, output)
            return report
        await asyncio.to_thread(check_batch, batch, self._settings)
        sources = sources_of(batch, self._settings)
        alone = one_at_a_time(sources, output) if _ONE_AT_A_TIME in flow_run.tags else nullcontext()
        async with alone:
            report = await self._read_all(sources)
            self.written = report.write(output)
            emit(Progress(f"the report is {self.written}"))
            await asyncio.to_thread(clean_files, self._settings, output)
        return report

    async def _read_all(self, sources: Sequence[str]) -> Report:
        batch = self._batch
        if batch.workers > 1:
            return await self._shared(find_documents(sources, warn))
        budget = Budget(batch.max_usd, batch.minutes, batch.ends_at(self._began), self._started)
        return await self._reader(budget, self._since).run(sources)

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
                documents.append(await asyncio.to_thread(weighed, source, self._settings.limits, self._batch.pages))
        shards = balanced(documents, self._batch.workers, self._batch.worker_pages)
        if why := why_fewer(shards, self._batch.workers, self._batch.worker_pages):
            warn(why)
        parts = ShardRuns(self._asked, self._output, self._began, self._since, self._read_part, self._shelf)
        return merged(await parts.read(shards) if shards else [], known, self._began)

    async def _read_part(self, part: Shard) -> Report:
        return await self._reader(Budget(part.max_usd, finish_by=part.ends_at), part.since or self._since).run(
            part.documents
        )

    def _reader(self, budget: Budget, since: datetime) -> BatchReader:
        async def read(name: str, job: Job) -> State[Manifest]:
            # Prefect's types do not know that an async task's state is awaited, too.
            state: State[Manifest] = await cast("Any", read_document)(name, job, since, return_state=True)
            return state

        return BatchReader(self._batch, self._settings, self._output, budget, read)

    def _shelf(self) -> DocumentIndex:
        return DocumentIndex(self._output, self._batch, self._settings)


# Not a run within the run: Prefect takes seconds to begin one, and short documents would leave slots idle meanwhile.
@task(name="read-document", task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False, **QUIET)
async def read_document(name: str, job: Job, began: datetime) -> State[Manifest]:
    """Read one document of a batch; `name` is what it is called in the UI. See `process_document`."""
    try:
        return task_state(await process(job, began, in_batch=True))
    except (Pause, asyncio.CancelledError):
        return cut_off()
