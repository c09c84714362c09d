"""The service behind the routes of the HTTP API: it accepts documents that were received."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from uuid import uuid4

from prefect.client.orchestration import PrefectClient

from flows.api.accepted import Accepted, Request
from flows.api.ceilings import Ceilings
from flows.api.followed import Followed
from flows.api.limits import Limits
from flows.api.prefect_state import PrefectCalls, is_over
from flows.api.queue import Queue
from flows.api.records import Record, write_whole
from flows.api.runs import Runs
from flows.api.settings import ApiSettings
from flows.api.uploads import Posted, Upload, clear_leftovers
from flows.api.webhooks import Webhooks
from flows.orchestrator.trigger import needs_another_run, request_key
from tasks.core.aio import background
from tasks.core.errors import ServerError, StorageError
from tasks.core.file_locks import take_exclusive, take_shared
from tasks.core.page_ranges import format_ranges
from tasks.core.private import make_directory
from tasks.settings.settings import Settings

FOLDERS = ("documents", "results", "runs", "webhooks", "queue")
ENTRIES = frozenset((*FOLDERS, "locks", "identity"))
"""The names in API_DIRECTORY."""
STATE_SECONDS = 5.0


@dataclass(frozen=True)
class Service:
    """The parts of a running backend."""

    settings: Settings
    api: ApiSettings
    prefect: PrefectCalls
    runs: Runs
    webhooks: Webhooks
    accepted: Accepted
    queue: Queue
    limits: Limits
    ceilings: Ceilings

    @classmethod
    @asynccontextmanager
    async def run(cls, settings: Settings, api: ApiSettings, client: PrefectClient) -> AsyncIterator[Self]:
        """Start the queue and the webhooks of API_DIRECTORY, over a Prefect server."""
        for name in FOLDERS:
            make_directory(api.directory / name)
        clear_leftovers(api.directory / "documents")
        prefect = PrefectCalls(client, api.prefect_seconds)
        runs = Runs(api.directory / "runs", prefect)
        accepted = Accepted(api.directory / "queue", runs)
        queue = Queue(accepted, runs, prefect, _identity(api.directory))
        limits = Limits(api)
        await limits.measure()
        async with (
            background(limits.keep_measuring()),
            background(queue.submit_all()),
            Webhooks(api.directory / "webhooks", runs, api) as webhooks,
        ):
            ceilings = Ceilings(settings, api)
            yield cls(settings, api, prefect, runs, webhooks, accepted, queue, limits, ceilings)

    async def accept(self, posted: Posted, upload: Upload) -> Followed:
        """Keep a document that was received, and queue the request; if an equal one has a run, return that.

        Raises:
            HearthError: the document cannot be read with these options; nothing is kept.
        """
        async with self.limits.opening:
            document, numbers = await upload.inspect(posted.job)
        self.ceilings.check_pages(len(numbers))
        # Under this lock, nobody deletes the document while its run is created.
        with await asyncio.to_thread(take_shared, self.accepted.document_lock(upload.sha256)):
            path = await asyncio.to_thread(upload.keep, posted.filename)
            if upload.is_new:
                self.limits.stored += document.size
            key = request_key(posted.job, upload.sha256)
            paths = {"document": str(path), "output": str(self.api.directory / "results" / key[:32])}
            request = Request(
                id=uuid4(),
                job=self.ceilings.with_budget(posted.job).model_copy(update=paths),
                key=key,
                document=document.model_copy(update={"path": path}),
                pages=format_ranges(numbers),
                created=datetime.now(UTC),
                filename=posted.filename,
            )
            run = await self._run_for(request)
            if posted.webhook is not None:
                self.webhooks.add(run.record.id, posted.webhook)
        return run

    async def _run_for(self, request: Request) -> Followed:
        """Return the run of an equal request, if it is active or has read everything; else store this request."""
        while True:
            last = await asyncio.to_thread(self.runs.index.latest, request.folder)
            if last is not None and not await self._may_start_again(last, forced=request.job.force):
                break
            first = last.generation if last else 0
            request = request.model_copy(update={"first": first, "created": datetime.now(UTC)})
            # Of simultaneous equal requests, one is stored; the others find it in their next iteration.
            if await asyncio.to_thread(self.accepted.add, request, last):
                self.queue.submit_soon()
                last = request.record()
                break
        run = self.runs.follow(last.id)
        if run is None:
            raise StorageError(f"The request is missing from {self.api.directory}. Check what removes files there.")
        return run

    async def _may_start_again(self, record: Record, *, forced: bool) -> bool:
        """Return whether an equal request starts another run, because this one left pages or its results are gone."""
        run = self.runs.follow(record.id)
        if run is None:
            return True
        try:
            async with asyncio.timeout(STATE_SECONDS):
                state = await run.state()
        except (ServerError, TimeoutError):
            return True  # when it is submitted, Prefect finds the run by its key
        if not is_over(state):
            return False
        return state is None or needs_another_run(state, forced=forced) or not run.record.output.exists()


def _identity(directory: Path) -> str:
    """Return the directory's identity, with which its flow runs are labelled; create it at the first call."""
    path = directory / "identity"
    with take_exclusive(directory / "locks" / "identity"):
        if not path.exists():
            write_whole(path, uuid4().hex)
    return path.read_text(encoding="ascii")
