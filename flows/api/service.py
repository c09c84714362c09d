"""What the routes of the HTTP API work with, and how a document that was received is accepted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Self
from uuid import uuid4

from prefect.client.orchestration import PrefectClient

from flows.api.accepted import Accepted, Request
from flows.api.ceilings import Ceilings
from flows.api.followed import Followed
from flows.api.limits import Limits
from flows.api.prefect_state import PrefectHealth, is_over
from flows.api.queue import Queue
from flows.api.records import Locks, Record, ranges, write_whole
from flows.api.runs import Runs
from flows.api.settings import ApiSettings
from flows.api.uploads import Posted, Upload, clear_leftovers
from flows.api.webhooks import Webhooks
from flows.orchestrator.trigger import begins_anew, request_key
from tasks.core.errors import ServerError, StorageError
from tasks.core.jobs import Job, Plan
from tasks.core.private import make_directory
from tasks.settings.settings import Settings
from tasks.storage.file_locks import take_exclusive, take_shared

FOLDERS = ("documents", "results", "runs", "webhooks", "queue")
OURS = frozenset((*FOLDERS, "locks", "identity"))
"""What is in the directory."""
_KNOWN_SECONDS = 5.0


@dataclass(frozen=True)
class Service:
    """What the routes work with."""

    settings: Settings
    api: ApiSettings
    prefect: PrefectClient
    runs: Runs
    webhooks: Webhooks
    locks: Locks
    accepted: Accepted
    queue: Queue
    limits: Limits
    ceilings: Ceilings

    @classmethod
    @asynccontextmanager
    async def over(cls, settings: Settings, api: ApiSettings, client: PrefectClient) -> AsyncIterator[Self]:
        """Serve over a Prefect server, with what the directory holds."""
        for name in FOLDERS:
            make_directory(api.directory / name)
        locks = Locks(api.directory)
        clear_leftovers(api.directory / "documents")
        runs = Runs(api.directory / "runs", client, api.prefect_seconds)
        accepted = Accepted(api.directory / "queue", runs, locks)
        limits = Limits(api)
        async with (
            limits.measured(),
            Queue(accepted, runs, client, api.prefect_seconds, _identity(api.directory)) as queue,
            Webhooks(api.directory / "webhooks", runs, api) as webhooks,
        ):
            ceilings = Ceilings(settings, api)
            yield cls(settings, api, client, runs, webhooks, locks, accepted, queue, limits, ceilings)

    @cached_property
    def health(self) -> PrefectHealth:
        """Whether Prefect can be used."""
        return PrefectHealth(self.prefect)

    async def accept(self, posted: Posted, upload: Upload) -> Followed:
        """Keep a document that was received, and have it read; the same request as before finds its run.

        Raises:
            HearthError: it cannot be read as it was asked for; nothing is kept.
        """
        async with self.limits.opening:
            plan = await upload.check(posted.job)
        self.ceilings.check_plan(plan)
        async with self._claimed(upload.sha256):
            path = await asyncio.to_thread(upload.keep, posted.filename)
            if upload.is_new:
                self.limits.kept(plan.document.size)
            key = request_key(posted.job, upload.sha256)
            output = self.api.directory / "results" / key[:32]
            job = self.ceilings.budgeted(posted.job).model_copy(update={"document": str(path), "output": str(output)})
            plan = plan.model_copy(update={"document": plan.document.model_copy(update={"path": path})})
            run = await self._request_for(key, job, plan, posted.filename)
            if posted.webhook is not None:
                self.webhooks.add(run.record.id, posted.webhook)
        return run

    async def _request_for(self, key: str, job: Job, plan: Plan, filename: str | None) -> Followed:
        """The request that goes on or has read everything, or else a new one, which is on disk then."""
        while True:
            last = await asyncio.to_thread(self.runs.index.latest, key[:32])
            if last is not None and not await self._may_begin_anew(last, forced=job.force):
                break
            request = Request(
                **{"id": uuid4(), "job": job, "key": key, "document": plan.document, "pages": ranges(plan.numbers)},
                **{"created": datetime.now(UTC), "first": last.generation if last else 0, "filename": filename},
            )
            # Of those that are made at once, one is; the others look again.
            if await asyncio.to_thread(self.accepted.add, request, last):
                self.queue.submit_soon()
                last = request.record()
                break
        run = self.runs.follow(last.id)
        if run is None:
            raise StorageError(f"The request was not kept in {self.api.directory}. Is somebody removing files there?")
        return run

    async def _may_begin_anew(self, record: Record, *, forced: bool) -> bool:
        """Whether the same request makes another run, since this one left something to do, or its results are gone."""
        run = self.runs.follow(record.id)
        if run is None:
            return True
        try:
            async with asyncio.timeout(_KNOWN_SECONDS):
                state = await run.state()
        except (ServerError, TimeoutError):
            return True  # it is found when the request is submitted, and becomes the same run then
        if not is_over(state):
            return False
        return state is None or begins_anew(state, forced=forced) or not run.record.output.exists()

    @asynccontextmanager
    async def _claimed(self, sha256: str) -> AsyncIterator[None]:
        """Have a document stay while a run of it is made: nobody deletes it meanwhile."""
        lease = await asyncio.to_thread(take_shared, self.locks.of_document(sha256))
        try:
            yield
        finally:
            lease.release()


def _identity(directory: Path) -> str:
    """The directory's own name, by which its runs are told from those of others."""
    path = directory / "identity"
    lease = take_exclusive(directory / "locks" / "identity")
    try:
        if not path.exists():
            write_whole(path, uuid4().hex)
    finally:
        lease.release()
    return path.read_text(encoding="ascii")
