"""Many documents on the same servers: a nightly batch."""

# No postponed annotations here: a served flow is pickled, and would lose the type of `Batch`.

import asyncio
import time
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.engine.batch_reader import BatchReader, warn, weigh
from flows.engine.outcomes import batch_state, final_state
from flows.engine.shard_runs import ShardRuns, merge_reports
from flows.orchestrator.blocks import resolve_output
from flows.orchestrator.ephemeral import secure_ephemeral_server
from flows.orchestrator.late_ends import on_recorded, store_end
from flows.orchestrator.pausing import run_began
from flows.orchestrator.result_json import RESULT_JSON
from flows.ui.artifacts import show_report
from flows.ui.live_artifacts import Live
from tasks.batches.batch import Batch, find_documents
from tasks.batches.document_index import DocumentIndex
from tasks.batches.one_at_a_time import AlreadyReadError, one_at_a_time
from tasks.batches.shards import Shard, balanced, why_fewer
from tasks.core.budget import Budget
from tasks.core.escaping import escape_line
from tasks.core.events import Progress, emit, subscribe
from tasks.reading.events import RunEnded
from tasks.results.batch_result import BatchResult
from tasks.results.report import Report
from tasks.results.rows import Row
from tasks.retention.clean import clean_files
from tasks.runs.check_batch import check_batch, missing_inbox, sources_of
from tasks.settings.settings import Settings, load_settings
from tasks.storage.files import StoragePath

secure_ephemeral_server()  # before a script can call the flow

_ONE_AT_A_TIME = "nightly"
"""Tag of runs of which only one at a time reads the same sources into the same results."""


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
    on_completion=[on_recorded],
    on_failure=[on_recorded],
)
async def process_batch(batch: Batch) -> State[BatchResult]:
    """Read all documents of a batch that are new or have changed, on the same servers.

    Each document is read as `process_document` does, and is a task run, or one of 25 that a task run shows. One that
    cannot be read does not affect the others.

    Args:
        batch: What to read, how, and what it may cost. What is left empty is taken from the worker's settings.

    Returns:
        Completed, named Partial if documents or pages failed, Stopped if the budget left some, or Skipped if no source
        is named and the inbox does not exist, or if another run with the tag `nightly` reads the same; with the
        result. A caller that awaits the flow gets the result itself, a `BatchResult`.

    Raises:
        HearthError: the request is wrong, no server could be acquired, or no document could be read. The run's state is
            Failed, with the same sentence.
    """
    return await final_state(read_batch(batch, load_settings()))


async def read_batch(batch: Batch, settings: Settings) -> State[BatchResult]:
    """Read a batch, or a part of one, and return the state in which its run ends; see `process_batch`."""
    requested, batch = batch, await resolve_output(batch)
    output = batch.directory(settings)
    if why := missing_inbox(batch, settings):
        return _skipped(why, output)
    run = BatchRun(requested, batch, settings)
    try:
        async with Live("batch", settings, has_pages=False) as live:
            with subscribe(live):
                report = await run.read()
    except AlreadyReadError:
        why = "Another nightly run reads the same sources. It also reads what is new, and so does the next run."
        return _skipped(why, output)
    state = store_end(batch_state(BatchResult.of(report, output, run.report_path)))
    emit(RunEnded(report))
    await show_report(report)
    return state


def _skipped(why: str, output: StoragePath) -> State[BatchResult]:
    nothing = Report(started_at=datetime.now(UTC), minutes=0, usd=0, rows=(), stopped=why)
    emit(RunEnded(nothing))
    return store_end(Completed(name="Skipped", message=why, data=BatchResult.of(nothing, output, None)))


class BatchRun:
    """One run: of a whole batch, alone or together with runs of its parts, or of one part.

    Attributes:
        report_path: path of the report, once it is written.
    """

    def __init__(self, requested: Batch, batch: Batch, settings: Settings) -> None:
        self._requested, self._batch, self._settings = requested, batch, settings
        self._output = batch.directory(settings)
        self._began, self._started = datetime.now(UTC), time.monotonic()
        self._since = run_began()
        self.report_path: StoragePath | None = None

    async def read(self) -> Report:
        """Read the documents and write the report."""
        batch, output = self._batch, self._output
        if batch.part:
            part = await asyncio.to_thread(Shard.named, batch.part, output)
            report = await self._read_part(part)
            self.report_path = await asyncio.to_thread(part.write_report, report, output)
            return report
        await asyncio.to_thread(check_batch, batch, self._settings)
        sources = sources_of(batch, self._settings)
        async with one_at_a_time(sources, output) if _ONE_AT_A_TIME in flow_run.tags else nullcontext():
            report = await (self._read_shared(sources) if batch.workers > 1 else self._read_alone(sources))
            self.report_path = report.write(output)
            emit(Progress(f"the report is {self.report_path}"))
            await asyncio.to_thread(clean_files, self._settings, output)
        return report

    async def _read_alone(self, sources: Sequence[str]) -> Report:
        batch = self._batch
        budget = Budget(batch.max_usd, batch.minutes, batch.ends_at(self._began), self._started)
        return await self._reader(budget, self._since).run(sources)

    async def _read_shared(self, sources: Sequence[str]) -> Report:
        """Read the documents that are new or have changed together with other runs."""
        batch, settings = self._batch, self._settings
        index = self._index()
        unchanged: list[Row] = []
        documents = []
        for source in await asyncio.to_thread(list, find_documents(sources, warn)):
            if (row := index.unchanged(source)) is not None:
                unchanged.append(row)
            else:
                documents.append(await asyncio.to_thread(weigh, source, batch, settings.limits))
        shards = balanced(documents, batch.workers, batch.worker_pages)
        if why := why_fewer(shards, batch.workers, batch.worker_pages):
            warn(why)
        parts = ShardRuns(self._requested, self._output, self._began, self._since, self._read_part, self._index)
        return merge_reports(await parts.read(shards) if shards else [], unchanged, self._began)

    async def _read_part(self, part: Shard) -> Report:
        budget = Budget(part.max_usd, finish_by=part.ends_at)
        return await self._reader(budget, part.since or self._since).run(part.documents)

    def _reader(self, budget: Budget, since: datetime) -> BatchReader:
        return BatchReader(self._batch, self._settings, self._output, budget, since)

    def _index(self) -> DocumentIndex:
        return DocumentIndex(self._output, self._batch, self._settings)
