"""What the routes of the HTTP API work with, and how a document that was received becomes a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prefect.client.orchestration import PrefectClient

from flows.api.prefect_state import answer_of_prefect
from flows.api.records import Record, ranges
from flows.api.runs import Followed, Runs
from flows.api.settings import ApiSettings
from flows.api.uploads import Upload
from flows.api.webhooks import Webhooks
from flows.orchestrator.trigger import request_key, trigger
from tasks.core.jobs import Job
from tasks.results.store import results_directory
from tasks.settings.settings import Settings


@dataclass(frozen=True)
class Service:
    """What the routes work with."""

    settings: Settings
    api: ApiSettings
    prefect: PrefectClient
    runs: Runs
    webhooks: Webhooks

    async def run(self, job: Job, upload: Upload, webhook: str | None) -> Followed:
        """Keep a document that was received, and have it read.

        Raises:
            HearthError: it cannot be read, or Prefect does not take it.
        """
        plan = await upload.check(job)
        path, sha256 = upload.keep()
        output = self.api.directory / "results" / request_key(job, sha256)[:32]
        asked = job.model_copy(update={"document": str(path), "output": str(output)})
        run = await answer_of_prefect(lambda: trigger(self.prefect, asked, sha256), self.api.prefect_seconds)
        # An earlier run of this request has its own directory, if it was forced.
        taken = Job.model_validate(run.parameters["job"])
        document = plan.document.model_copy(update={"path": Path(taken.document)})
        results = results_directory(Path(taken.output or output), document)
        created = run.created or datetime.now(UTC)
        pages = ranges(plan.numbers)
        followed = self.runs.remember(Record(id=run.id, sha256=sha256, pages=pages, output=results, created=created))
        if webhook is not None:
            self.webhooks.add(run.id, webhook)
        return followed
