"""What a run shows in Prefect's UI: a progress bar that moves, tables of pages, a summary, a link to the result."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx
from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.client.schemas.objects import State
from prefect.exceptions import PrefectHTTPStatusError
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from tasks.manifest import Manifest, PageStatus
from tasks.progress import Caution, Event, PageDone, PagesStart, Pulling, Stage
from tasks.report import Report
from tasks.results import ResultStore

_UPDATE_SECONDS = 2.0
_SHOWN_SECONDS = 5.0


def artifact_key(document: str, what: str) -> str:
    """A key as Prefect wants it: lower case, digits and dashes."""
    slug = re.sub(r"[^a-z0-9]+", "-", document.lower()).strip("-")[:60] or "document"
    return f"hearth-{slug}-{what}"


class ProgressArtifact:
    """A progress artifact of one document; a listener, updated every 2 s at the most, and never in a page's way."""

    def __init__(self, document: str) -> None:
        self._document = document
        self._total = 0
        self._done = 0
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._updates: asyncio.Task[None] | None = None

    def __call__(self, event: Event) -> None:
        """Count."""
        match event:
            case PagesStart(total=total, standing=standing):
                self._total, self._done = total, standing
            case PageDone():
                self._done += 1
            case _:
                return
        # Pages are told of on the thread of the work.
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._changed.set)

    async def __aenter__(self) -> Self:
        """Start to update."""
        self._loop = asyncio.get_running_loop()
        self._updates = asyncio.create_task(self._keep_updated())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show the last state."""
        if self._updates is not None:
            self._updates.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._updates

    async def _keep_updated(self) -> None:
        artifact: UUID | None = None
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                artifact = await self._shown(artifact)
                await asyncio.sleep(_UPDATE_SECONDS)
        finally:
            if artifact is not None:
                await self._shown(artifact)

    async def _shown(self, artifact: UUID | None) -> UUID | None:
        percent = 100.0 * self._done / self._total if self._total else 0.0
        async with shown_if_possible():
            if artifact is None:
                key = artifact_key(self._document, "progress")
                return await acreate_progress_artifact(percent, key=key, description=f"Pages of {self._document} read")
            await aupdate_progress_artifact(artifact, progress=percent)
        return artifact


class PageTable:
    """A table of the pages that one task run carries; a listener. Page text never gets into it."""

    def __init__(self, told: str) -> None:
        self._told = told
        self._rows: list[dict[str, Any]] = []

    def __call__(self, event: Event) -> None:
        """Note a page that was stored."""
        if isinstance(event, PageDone):
            result = event.result
            row = {
                "page": result.page,
                "status": result.status.value,
                "seconds": result.seconds,
                "tokens in": result.tokens_in,
                "tokens out": result.tokens_out,
                "attempts": len(result.attempts),
                "reason": result.reason or "",
            }
            self._rows.append(row)

    async def show(self) -> None:
        """Attach it to the task run. Without a key: the list of all artifacts is no place for each block of pages."""
        if self._rows:
            async with shown_if_possible():
                await acreate_table_artifact(sorted(self._rows, key=lambda row: int(row["page"])), None, self._told)

    def state(self) -> State[None]:
        """How the task run ended, by its pages."""
        pages, failed = len(self._rows), sum(row["status"] == PageStatus.FAILED for row in self._rows)
        told = f"{pages} pages, {failed} failed"
        if failed and failed == pages:
            return Failed(message=told)
        return Completed(name="Partial" if failed else None, message=told)


@asynccontextmanager
async def shown_if_possible() -> AsyncIterator[None]:
    """A picture that Prefect's server does not take, or not soon, is no reason to stop reading, or to wait."""
    with contextlib.suppress(httpx.HTTPError, PrefectHTTPStatusError, TimeoutError):
        async with asyncio.timeout(_SHOWN_SECONDS):
            yield


def log_to_run(event: Event) -> None:
    """A listener: stages and cautions go into the run's log. Page text never does."""
    match event:
        case Stage(what=what):
            get_run_logger().info(what)
        case Caution(what=what):
            get_run_logger().warning(what)
        case Pulling(step=step, completed=completed, total=total) if completed == total:
            get_run_logger().info("pull: %s", step)
        case _:
            pass


async def show_summary(manifest: Manifest, store: ResultStore) -> None:
    """A table of the run's figures, one of the pages that failed, and a link to the text."""
    name = manifest.document.name
    figures: list[dict[str, Any]] = [{"what": what, "figure": figure} for what, figure in manifest.totals().items()]
    figures += [{"what": "model", "figure": manifest.model}, {"what": "output", "figure": str(store.directory)}]
    async with shown_if_possible():
        told = f"Reading {name}" + (f". {manifest.insight.told}" if manifest.insight else "")
        await acreate_table_artifact(figures, artifact_key(name, "summary"), told)
        if manifest.failed:
            rows = [
                {"page": entry.page, "reason": entry.reason, "why": entry.detail, "attempts": len(entry.attempts)}
                for entry in manifest.failed
            ]
            await acreate_table_artifact(rows, artifact_key(name, "failures"), f"Failed pages of {name}")
        link = store.document_path.as_uri()
        await acreate_link_artifact(link, "document.md", artifact_key(name, "result"), f"The text of {name}")


async def show_report(report: Report) -> None:
    """A batch's report."""
    async with shown_if_possible():
        told = f"Batch of {report.started_at:%Y-%m-%d %H:%M} UTC"
        await acreate_markdown_artifact(report.markdown(), "hearth-batch-report", told)
