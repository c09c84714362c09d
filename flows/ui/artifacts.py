"""Artifacts in Prefect's UI, which are created once and then updated, and never delay a page."""

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
"""How long an update may take while pages are read; the next update shows what it lacks."""
MOST_SINGLE = 200
"""Up to this many pages, each has a task run and a row; nobody looks through more."""
LAST_SECONDS = 60.0
"""How long the last update may take; as long as Prefect's server waits for its database's lock."""
_log = logging.getLogger(__name__)

Data = float | str | list[dict[str, Any]]
"""A percentage, Markdown, or rows."""


def artifact_key(document: str, what: str) -> str:
    """Return a key as Prefect requires it: lower case, digits and dashes."""
    slug = re.sub(r"[^a-z0-9]+", "-", document.lower()).strip("-")[:60] or "document"
    return f"hearth-{slug}-{what}"


@dataclass
class Artifact:
    """One artifact of a run, created when there is something to show and then updated.

    Attributes:
        key: its name; earlier runs have made its earlier versions. None for one that the list of all artifacts does not
            show.
        seconds: shortest time between two updates.
        data: returns what to show now, or None for nothing yet.
        changed: whether there is something new to show.
        due: earliest time of the next update, seconds on the monotonic clock.
    """

    key: str | None
    description: str
    seconds: float
    data: Callable[[], Awaitable[Data | None]]
    changed: bool = False
    due: float = 0.0
    _made: UUID | None = None

    async def show(self, seconds: float | None = None) -> None:
        """Show the present data; what Prefect does not accept in time is shown the next time."""
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
            except ObjectNotFound:  # somebody has deleted it: create it anew the next time
                self._made = None
                raise
        elif isinstance(data, list):
            self._made = await acreate_table_artifact(data, self.key, self.description)
        elif isinstance(data, str):
            self._made = await acreate_markdown_artifact(data, self.key, self.description)
        else:
            self._made = await acreate_progress_artifact(data, key=self.key, description=self.description)


class PageTable:
    """A table of the pages of one task run; a listener."""

    def __init__(self, description: str, *, excerpts: bool) -> None:
        self._description = description
        self._excerpts = excerpts
        self._rows: list[dict[str, Any]] = []

    def __call__(self, event: Event) -> None:
        """Add a page that was stored."""
        if isinstance(event, PageDone):
            self._rows.append(page_row(event.result, excerpts=self._excerpts))

    async def show(self, seconds: float) -> None:
        """Attach it to the task run, without a key, so that the list of all artifacts does not show each block."""
        if self._rows:
            async with shown_if_possible(seconds):
                await acreate_table_artifact(
                    sorted(self._rows, key=lambda row: int(row["page"])), None, self._description
                )


@asynccontextmanager
async def shown_if_possible(seconds: float) -> AsyncIterator[None]:
    """Ignore errors of Prefect's server, and a lack of answer within `seconds`: reading goes on without the picture."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except Exception as error:  # noqa: BLE001 - whatever fails here, the pages do not
        _log.debug("An artifact was not shown: %r", error)


def log_to_run(event: Event) -> None:
    """Log a run's progress and warnings, but no page text; a listener."""
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
    """Show a batch's report as an artifact."""
    async with shown_if_possible(LAST_SECONDS):
        description = f"Batch of {report.started_at:%Y-%m-%d %H:%M} UTC"
        await acreate_markdown_artifact(report.markdown(), "hearth-batch-report", description)
