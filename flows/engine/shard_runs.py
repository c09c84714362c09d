"""A batch that several runs read: each a part of the documents, on whichever worker of the pool is free.

The batch's own run reads a part, too, and then those that no worker has begun, so that it ends with any number of
workers. A part and its report are files in `batches` of the output, which all workers must share: a directory that all
of them see, or s3://. Where a run vanishes, its documents are left for the next batch; what it stored stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
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
from tasks.results.report import DocumentStatus, Report, Row
from tasks.storage.files import StoragePath

DEPLOYMENT = "process-batch/on-demand"
_LOOK_SECONDS = 2.0

Read = Callable[[Shard], Awaitable[Report]]


@dataclass
class ShardRuns:
    """The parts of one batch. Use `read`.

    Args:
        asked: the batch as it was asked for, its output block unresolved: whoever reads a part has its own access.
        output: where the results go.
        began: when the batch did.
        since: when its run began first; what it reads anew it does once since then, whoever reads the part.
        read_here: reads a part in this run.
        shelf: knows what stands.
    """

    asked: Batch
    output: StoragePath
    began: datetime
    since: datetime
    read_here: Read
    shelf: Callable[[], DocumentIndex]
    _waiting: dict[UUID, Shard] = field(default_factory=dict)

    async def read(self, shards: Sequence[ShardPlan]) -> list[Report]:
        """Have all shards read.

        Returns:
            A report of each.

        Raises:
            UnavailableError: the deployment that reads parts is missing.
            HearthError: what a part that is read here met; the other parts are cancelled.
        """
        own, *others = self._parts(shards)
        async with get_client() as client:
            try:
                here = [own, *[part for part in others if not await self._begun(client, part)]]
                if self._waiting:
                    emit(Progress(f"{len(self._waiting)} more runs are asked to read parts of the batch"))
                reports = [await self.read_here(part) for part in here]
                while self._waiting:
                    async with _again_later():
                        reports += await self._looked(client)
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
                max_usd=self.asked.max_usd and self.asked.max_usd * shard.pages / pages,
                ends_at=self.asked.deadline(self.began),
                since=self.since if self.asked.force else None,
            )
            for number, shard in enumerate(shards, 1)
        ]

    async def _begun(self, client: PrefectClient, part: Shard) -> bool:
        """Ask for a run of a part; False if Prefect did not take it, so that it is to be read here."""
        await asyncio.to_thread(part.write, self.output)
        asked = part.asked_for(self.asked, self.output)
        try:
            async with _again_later():
                run = await arun_deployment(
                    DEPLOYMENT,
                    client,
                    {"batch": asked.model_dump(mode="json", exclude_defaults=True)},
                    timeout=0,
                    # A run that is resumed or retried begins its parts anew, a request that is sent twice does not.
                    idempotency_key=f"{flow_run.id}-{flow_run.run_count}-{part.name}",
                )
                self._waiting[run.id] = part
                return True
        except ObjectNotFound:
            raise UnavailableError(
                f"Prefect has no deployment {DEPLOYMENT}, which reads the parts of a batch. Make it: hearth up, or "
                "prefect --no-prompt deploy --all; or ask for one worker."
            ) from None
        return False

    async def _looked(self, client: PrefectClient) -> list[Report]:
        """The report of a part that has ended meanwhile, if one has; one that nobody began is read here."""
        wanted = FlowRunFilter(id=FlowRunFilterId(any_=list(self._waiting)))
        runs = {run.id: run for run in await client.read_flow_runs(flow_run_filter=wanted)}
        # One that was deleted has ended, too.
        ended = [asked for asked in self._waiting if asked not in runs or _is_final(runs[asked])]
        waiting = [run for run in runs.values() if run.state is not None and run.state.is_scheduled()]
        if waiting and not ended:
            # This run has nothing else to do. If a worker is quicker, it ends at once, and is looked at then.
            await client.set_flow_run_state(waiting[0].id, Cancelling(message="the batch's own run reads this part"))
        if not ended:
            await asyncio.sleep(_LOOK_SECONDS)
            return []
        part, run = self._waiting[ended[0]], runs.get(ended[0])
        if run is not None and run.run_count == 0:  # one that is cancelled has a start time all the same
            emit(RunWarning(f"No other worker has begun part {part.name}: this run reads it, too."))
            report = await self.read_here(part)
        else:
            report = await asyncio.to_thread(self._report, run, part)
        del self._waiting[ended[0]]
        return [report]

    def _report(self, run: FlowRun | None, part: Shard) -> Report:
        """What a part's run wrote; of one that wrote nothing, what stands and what is left."""
        report = part.report(self.output)
        if report is not None:
            return report
        became = f"The run of part {part.name} is {run.state_name if run else 'deleted'}"
        emit(RunWarning(f"{became}: what is left of its {len(part.documents)} documents is for the next batch."))
        told = f"{became}. The next batch goes on with it."
        shelf = self.shelf()
        rows = [
            shelf.unchanged(source) or Row(document=source.name, status=DocumentStatus.LEFT, why=told)
            for source in find_documents(part.documents)
        ]
        return Report(started_at=self.began, minutes=0, usd=0, rows=tuple(rows), stopped="a part of it did not end")

    async def _cancel_all(self, client: PrefectClient) -> None:
        for run in self._waiting:
            with suppress(ObjectNotFound):
                async with _again_later():
                    await client.set_flow_run_state(run, Cancelling(message="its batch has ended"))


def _is_final(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()


@asynccontextmanager
async def _again_later() -> AsyncIterator[None]:
    """Prefect's client has tried again and again; what else there is to do need not wait for the server."""
    try:
        yield
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        emit(RunWarning(f"Prefect's server does not answer ({type(error).__name__})."))
        await asyncio.sleep(_LOOK_SECONDS)


def merged(reports: Sequence[Report], known: Sequence[Row], began: datetime) -> Report:
    """One report of a batch's parts and of the documents that had not changed; its insight is the longest part's."""
    rows: list[Any] = [*known, *(row for report in reports for row in report.rows)]
    minutes = (datetime.now(UTC) - began).total_seconds() / 60
    told = [report for report in reports if report.insight]
    longest = max(told, key=lambda report: report.minutes).insight if told else ""
    return Report(
        started_at=began,
        minutes=round(minutes, 2),
        usd=round(sum(report.usd for report in reports), 6),
        rows=tuple(sorted(rows, key=lambda row: row.document)),
        stopped=next((report.stopped for report in reports if report.stopped), ""),
        insight=f"Of its {len(reports)} parts, the one that took longest: {longest}" if longest else "",
    )
