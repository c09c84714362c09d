"""What the routes of the HTTP API work with, and how a document that was received becomes a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from flows.api.filenames import safe_filename
from flows.api.prefect_state import PrefectHealth, answer_of_prefect
from flows.api.records import Record, ranges
from flows.api.runs import Followed, Runs
from flows.api.settings import ApiSettings
from flows.api.uploads import Posted, Upload
from flows.api.webhooks import Webhooks
from flows.orchestrator.trigger import request_key, trigger
from tasks.core.jobs import Job
from tasks.results.store import results_directory
from tasks.settings.settings import Settings
from tasks.storage.file_locks import take_shared


@dataclass(frozen=True)
class Service:
    """What the routes work with."""

    settings: Settings
    api: ApiSettings
    prefect: PrefectClient
    runs: Runs
    webhooks: Webhooks

    @cached_property
    def health(self) -> PrefectHealth:
        """Whether Prefect can be used."""
        return PrefectHealth(self.prefect)

    async def run(self, posted: Posted, upload: Upload) -> Followed:
        """Keep a document that was received, and have it read.

        Raises:
            HearthError: it cannot be read, or Prefect does not take it.
        """
        plan, sha256 = await upload.check(posted.job), upload.sha256
        async with self.claimed(sha256):
            path = upload.keep(posted.filename)
            output = self.api.directory / "results" / request_key(posted.job, sha256)[:32]
            job = posted.job.model_copy(update={"document": str(path), "output": str(output)})

            def results(run: FlowRun) -> Path:
                # One of before may have read it under another name, and has a directory of its own if it was forced.
                taken = Job.model_validate(run.parameters["job"])
                document = plan.document.model_copy(update={"path": Path(taken.document)})
                return Path(str(results_directory(Path(taken.output or output), document)))

            def stands(run: FlowRun) -> bool:
                return results(run).exists()

            run = await answer_of_prefect(
                lambda: trigger(self.prefect, job, sha256, stands=stands), self.api.prefect_seconds
            )
            called = safe_filename(Path(Job.model_validate(run.parameters["job"]).document).name)
            record = Record(
                id=run.id,
                sha256=sha256,
                pages=ranges(plan.numbers),
                output=results(run),
                created=run.created or datetime.now(UTC),
                filename=posted.filename if called == f"{sha256}.pdf" else called,
            )
            followed = await asyncio.to_thread(self.runs.remember, record)
        if posted.webhook is not None:
            self.webhooks.add(run.id, posted.webhook)
        return followed

    @asynccontextmanager
    async def claimed(self, sha256: str) -> AsyncIterator[None]:
        """Have a document stay while a run of it is made: nobody deletes it meanwhile."""
        lease = await asyncio.to_thread(take_shared, self.lock_of(sha256))
        try:
            yield
        finally:
            lease.release()

    def lock_of(self, sha256: str) -> Path:
        """The lock of a document. It is another's, too, so that there are not more and more of them."""
        folder = self.api.directory / "locks"
        folder.mkdir(exist_ok=True)
        return folder / sha256[:3]
