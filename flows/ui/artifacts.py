"""What Prefect's UI is given to show: artifacts that are made once and then updated, and never in a page's way."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.artifacts import acreate_markdown_artifact, acreate_progress_artifact, acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger

from tasks.core.events import Event, Progress, Pulling, RunWarning
from tasks.reading.events import PageDone
from tasks.results.report import Report
from tasks.views.summary import page_row

SHOWN_SECONDS = 5.0
"""How long showing something may take while there is more to do: it is shown the next time."""
MOST_SINGLE = 200
"""Up to so many pages each has a task run and a row of its own; nobody looks through more."""

LAST_SECONDS = 60.0
"""How long it may take the last time, after which it would be lost: so long Prefect's server waits for a lock."""
_log = logging.getLogger(__name__)

Data = float | str | list[dict[str, Any]]
"""A percentage, Markdown, or rows."""


def artifact_key(document: str, what: str) -> str:
    """A key as Prefect wants it: lower case, digits and dashes."""
    slug = re.sub(r"[^a-z0-9]+", "-", document.lower()).strip("-")[:60] or "document"
    return f"hearth-{slug}-{what}"


@dataclass
class Artifact:
    """One artifact of a run, made when there is something to show and then updated.

    Attributes:
        key: what it is called; its versions are those of earlier runs.
        description: shown above it.
        seconds: it is not updated more often.
        data: asked for what is to be shown now; None: nothing yet.
        changed: there is something new to show.
        due: on the monotonic clock, seconds; it is not shown before.
    """

    key: str
    description: str
    seconds: float
    data: Callable[[], Awaitable[Data | None]]
    changed: bool = False
    due: float = 0.0
    _made: UUID | None = None

    async def show(self, seconds: float | None = None) -> None:
        """Show what there is now; what Prefect does not take in time is shown the next time."""
        self.changed = False
        shown = False
        async with shown_if_possible(SHOWN_SECONDS if seconds is None else seconds):
            data = await self.data()
            if data is not None:
                await self._shown(data)
            shown = True
        self.changed |= not shown

    async def _shown(self, data: Data) -> None:
        if self._made is not None:
            update = ArtifactUpdate(data=json.dumps(data) if isinstance(data, list) else data)
            try:
                async with get_client() as client:
                    await client.update_artifact(self._made, update)
            except ObjectNotFound:  # somebody has deleted it: the next time it is made anew
                self._made = None
                raise
        elif isinstance(data, list):
            self._made = await acreate_table_artifact(data, self.key, self.description)
        elif isinstance(data, str):
            self._made = await acreate_markdown_artifact(data, self.key, self.description)
        else:
            self._made = await acreate_progress_artifact(data, key=self.key, description=self.description)


class PageTable:
    """A table of the pages that one task run carries; a listener."""

    def __init__(self, told: str, *, excerpts: bool) -> None:
        self._told = told
        self._excerpts = excerpts
        self._rows: list[dict[str, Any]] = []

    def __call__(self, event: Event) -> None:
        """Note a page that was stored."""
        if isinstance(event, PageDone):
            self._rows.append(page_row(event.result, excerpts=self._excerpts))

    async def show(self, seconds: float) -> None:
        """Attach it to the task run. Without a key: the list of all artifacts is no place for each block of pages."""
        if self._rows:
            async with shown_if_possible(seconds):
                await acreate_table_artifact(sorted(self._rows, key=lambda row: int(row["page"])), None, self._told)


@asynccontextmanager
async def shown_if_possible(seconds: float) -> AsyncIterator[None]:
    """A picture that Prefect's server does not take, or not in time, is no reason to stop reading, or to wait."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a picture, the pages are not
        _log.debug("An artifact was not shown: %r", error)


def log_to_run(event: Event) -> None:
    """A listener: stages and cautions go into the run's log. Page text never does."""
    match event:
        case Progress(message=what):
            get_run_logger().info(what)
        case RunWarning(message=what):
            get_run_logger().warning(what)
        case Pulling(step=step, completed=completed, total=total) if completed == total:
            get_run_logger().info("pull: %s", step)
        case _:
            pass


async def show_report(report: Report) -> None:
    """A batch's report."""
    async with shown_if_possible(LAST_SECONDS):
        told = f"Batch of {report.started_at:%Y-%m-%d %H:%M} UTC"
        await acreate_markdown_artifact(report.markdown(), "hearth-batch-report", told)
