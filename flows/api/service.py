"""What the routes of the HTTP API work with, and how a document that was received is accepted."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from uuid import UUID, uuid4, uuid5

from prefect.client.orchestration import PrefectClient

from flows.api.ceilings import Ceilings
from flows.api.limits import Limits
from flows.api.queue import Queue, Request
from flows.api.records import Record, ranges, write_new
from flows.api.runs import Followed, Runs
from flows.api.settings import ApiSettings
from flows.api.uploads import Upload, clear_leftovers
from flows.api.webhooks import Webhooks
from flows.orchestrator.trigger import begins_anew, request_key
from tasks.core.errors import ServerError, StorageError
from tasks.core.jobs import Job, Plan
from tasks.settings.settings import Settings

_KNOWN_SECONDS = 5.0
_IDS = UUID("6ad0b1b2-5c1f-4a53-9d43-5b7c7f0c2f0e")


@dataclass(frozen=True)
class Service:
    """What the routes work with.

    Attributes:
        owner: of the runs: this backend's directory, of those that share a Prefect server.
    """

    settings: Settings
    api: ApiSettings
    prefect: PrefectClient
    runs: Runs
    webhooks: Webhooks
    queue: Queue
    limits: Limits
    ceilings: Ceilings
    owner: str

    @classmethod
    @asynccontextmanager
    async def over(cls, settings: Settings, api: ApiSettings, client: PrefectClient) -> AsyncIterator[Self]:
        """Serve over a Prefect server, with what the directory holds."""
        for name in ("documents", "results", "runs", "webhooks", "queue"):
            (api.directory / name).mkdir(parents=True, exist_ok=True)
        clear_leftovers(api.directory / "documents")
        owner = _identity(api.directory / "identity")
        runs = Runs(api.directory / "runs", client, api.prefect_seconds)
        limits = Limits(api)
        async with (
            limits.measured(),
            Queue(api.directory / "queue", runs, client, api.prefect_seconds, owner) as queue,
            Webhooks(api.directory / "webhooks", runs, client, api) as webhooks,
        ):
            ceilings = Ceilings(settings, api)
            yield cls(settings, api, client, runs, webhooks, queue, limits, ceilings, owner)

    async def run(self, job: Job, upload: Upload, webhook: str | None) -> Followed:
        """Keep a document that was received, and have it read; the same request as before finds its run.

        Raises:
            HearthError: it cannot be read as it was asked for; nothing is kept.
        """
        async with self.limits.opening:
            plan = await upload.check(job)
        self.ceilings.check_plan(plan)
        path, sha256 = await asyncio.to_thread(upload.keep)
        if upload.is_new:
            self.limits.kept(plan.document.size)
        key = request_key(job, sha256)
        output = self.api.directory / "results" / key[:32]
        run = await self._accept(
            key,
            self.ceilings.budgeted(job).model_copy(update={"document": str(path), "output": str(output)}),
            plan.model_copy(update={"document": plan.document.model_copy(update={"path": path})}),
        )
        if webhook is not None:
            self.webhooks.add(run.record.id, webhook)
        return run

    async def _accept(self, key: str, job: Job, plan: Plan) -> Followed:
        """The request that goes on or has read everything, or else a new one; it is on disk, and Prefect is not asked.

        Requests for the same are numbered, so that those that are made at once are one.
        """
        last: Record | None = None
        for number in itertools.count():
            request = uuid5(_IDS, f"{self.owner} {key} {number}")
            if (known := self.runs.record(request)) is None:
                break
            last = known
        if last is None or await self._may_begin_anew(last.id, forced=job.force):
            pages, first = ranges(plan.numbers), 0 if last is None else last.generation
            await self.queue.add(
                Request(
                    **{"id": request, "job": job, "key": key, "document": plan.document, "pages": pages},
                    **{"created": datetime.now(UTC), "first": first},
                )
            )
            last = self.runs.record(request)
        run = None if last is None else self.runs.follow(last.id)
        if run is None:
            raise StorageError(f"The request was not kept in {self.api.directory}. Is somebody removing files there?")
        return run

    async def _may_begin_anew(self, request: UUID, *, forced: bool) -> bool:
        run = self.runs.follow(request)
        if run is None:
            return True
        try:
            async with asyncio.timeout(_KNOWN_SECONDS):
                state = await run.state()
        except (ServerError, TimeoutError):
            return True  # it is found when the request is submitted, and becomes the same run then
        return state is None or begins_anew(state, forced=forced)


def _identity(path: Path) -> str:
    """The directory's own name, by which its runs are told from those of others."""
    write_new(path, uuid4().hex)
    return path.read_text(encoding="ascii")
