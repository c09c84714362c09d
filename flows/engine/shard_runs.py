"""Share a batch among several runs: each reads a part of the documents, on any free worker of the pool.

The batch's own run also reads a part, and then those that no worker has begun, so the batch ends even without other
workers. A part and its report are files in `batches` of the output, which all workers must share: a common directory,
or s3://. If a run vanishes, its documents are left for the next batch; the pages that it stored are kept.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.deployments.flow_runs import arun_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.runtime import flow_run
from prefect.states import Cancelling

from tasks.batches.batch import Batch, find_documents
from tasks.batches.document_index import DocumentIndex
from tasks.batches.shards import Shard, ShardPlan
from tasks.core.errors import UnavailableError
from tasks.core.events import Progress, RunWarning, emit
from tasks.results.report import Report
from tasks.results.rows import DocumentStatus, Row
from tasks.storage.files import StoragePath

DEPLOYMENT = "process-batch/on-demand"
_LOOK_SECONDS = 2.0


@dataclass
class ShardRuns:
    """The runs that read the parts of one batch. Use `read`.

    Args:
        requested: the batch with its output block unresolved: each run that reads a part resolves it itself.
        output: where the results go.
        began: when the batch began.
        since: when its run began first; pages that are read anew are read once since then.
        read_here: reads a part in this run.
        index: returns the index of the documents that were read.
    """

    requested: Batch
    output: StoragePath
    began: datetime
    since: datetime
    read_here: Callable[[Shard], Awaitable[Report]]
    index: Callable[[], DocumentIndex]
    _waiting: dict[UUID, Shard] = field(default_factory=dict)

    async def read(self, shards: Sequence[ShardPlan]) -> list[Report]:
        """Have all shards read, and return their reports.

        Raises:
            UnavailableError: the deployment that reads parts is missing.
            HearthError: a part that is read here failed; the other parts are cancelled.
        """
        own, *others = self._parts(shards)
        async with get_client() as client:
            try:
                here = [own, *[part for part in others if not await self._request_run(client, part)]]
                if self._waiting:
                    emit(Progress(f"{len(self._waiting)} more runs were requested for parts of the batch"))
                reports = [await self.read_here(part) for part in here]
                while self._waiting:
                    async with _warn_if_unreachable():
                        reports += await self._poll(client)
            except BaseException:
                await self._cancel_all(client)
                raise
        return reports

    def _parts(self, shards: Sequence[ShardPlan]) -> list[Shard]:
        pages = sum(shard.pages for shard in shards)
        run = f"{self.began:%Y%m%dT%H%M%S}-{str(flow_run.id)[:8]}"
        return [
            Shard(
                name=f"{run}-{number}",
                documents=tuple(document.source.name for document in shard.documents),
                max_usd=self.requested.max_usd and self.requested.max_usd * shard.pages / pages,
                ends_at=self.requested.deadline(self.began),
                since=self.since if self.requested.force else None,
            )
            for number, shard in enumerate(shards, 1)
        ]

    async def _request_run(self, client: PrefectClient, part: Shard) -> bool:
        """Request a run of a part; return False if Prefect does not answer, so that the part is read here."""
        await asyncio.to_thread(part.write, self.output)
        batch = part.batch(self.requested, self.output)
        try:
            async with _warn_if_unreachable():
                run = await arun_deployment(
                    DEPLOYMENT,
                    client,
                    {"batch": batch.model_dump(mode="json", exclude_defaults=True)},
                    timeout=0,
                    # A run that is resumed or retried requests its parts again; a repeated request has no effect.
                    idempotency_key=f"{flow_run.id}-{flow_run.run_count}-{part.name}",
                )
                self._waiting[run.id] = part
                return True
        except ObjectNotFound:
            raise UnavailableError(
                f"Prefect has no deployment {DEPLOYMENT} for the parts of a batch. Create it with hearth up, "
                "or prefect --no-prompt deploy --all, or read with one worker."
            ) from None
        return False

    async def _poll(self, client: PrefectClient) -> list[Report]:
        """Return the report of a part that has ended, if any; read a part here that no worker has begun."""
        parts = FlowRunFilter.model_validate({"id": {"any_": list(self._waiting)}})
        runs = {run.id: run for run in await client.read_flow_runs(flow_run_filter=parts)}
        states = {run.id: run.state for run in runs.values() if run.state is not None}
        # A run that was deleted has ended, too.
        ended = [run for run in self._waiting if run not in runs or (run in states and states[run].is_final())]
        waiting = [run for run, state in states.items() if state.is_scheduled()]
        if waiting and not ended:
            # This run is free to read it. If a worker has just begun it, that run ends at once, and is polled again.
            await client.set_flow_run_state(waiting[0], Cancelling(message="the batch's own run reads this part"))
        if not ended:
            await asyncio.sleep(_LOOK_SECONDS)
            return []
        part, run = self._waiting[ended[0]], runs.get(ended[0])
        if run is not None and run.run_count == 0:  # a cancelled run has a start time although it never began
            emit(RunWarning(f"No other worker has begun part {part.name}: this run reads it, too."))
            report = await self.read_here(part)
        else:
            report = await asyncio.to_thread(self._report, run, part)
        del self._waiting[ended[0]]
        return [report]

    def _report(self, run: FlowRun | None, part: Shard) -> Report:
        """Return the report of a part's run; if it wrote none, report which documents are stored and which are left."""
        report = part.report(self.output)
        if report is not None:
            return report
        ended = f"The run of part {part.name} is {run.state_name if run else 'deleted'}"
        emit(
            RunWarning(f"{ended}: of its {len(part.documents)} documents, the unread ones are left for the next batch.")
        )
        why = f"{ended}. The next batch goes on with it."
        index = self.index()
        rows = [
            index.unchanged(source) or Row(document=source.name, status=DocumentStatus.LEFT, why=why)
            for source in find_documents(part.documents)
        ]
        return Report(started_at=self.began, minutes=0, usd=0, rows=tuple(rows), stopped="a part of it did not end")

    async def _cancel_all(self, client: PrefectClient) -> None:
        for run in self._waiting:
            with suppress(ObjectNotFound):
                async with _warn_if_unreachable():
                    await client.set_flow_run_state(run, Cancelling(message="its batch has ended"))


@asynccontextmanager
async def _warn_if_unreachable() -> AsyncIterator[None]:
    """Warn of a server that does not answer although Prefect's client has retried, and continue."""
    try:
        yield
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        emit(RunWarning(f"Prefect's server does not answer ({type(error).__name__})."))
        await asyncio.sleep(_LOOK_SECONDS)


def merge_reports(reports: Sequence[Report], unchanged: Sequence[Row], began: datetime) -> Report:
    """Return one report of a batch's parts and of the unchanged documents, with the longest part's insight."""
    rows: list[Any] = [*unchanged, *(row for report in reports for row in report.rows)]
    minutes = (datetime.now(UTC) - began).total_seconds() / 60
    longest = max((report for report in reports if report.insight), key=lambda report: report.minutes, default=None)
    return Report(
        started_at=began,
        minutes=round(minutes, 2),
        usd=round(sum(report.usd for report in reports), 6),
        rows=tuple(sorted(rows, key=lambda row: row.document)),
        stopped=next((report.stopped for report in reports if report.stopped), ""),
        insight=f"Of its {len(reports)} parts, the one that took longest: {longest.insight}" if longest else "",
    )
