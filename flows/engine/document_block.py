"""Documents of a long batch that one task run shows, each with its result and a link to its text."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import Pause
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from flows.engine.pages import cancelled_task
from flows.orchestrator.expected_errors import QUIET
from flows.orchestrator.pausing import raise_if_paused, until_paused
from flows.ui.artifacts import LAST_SECONDS, Artifact
from tasks.batches.batch import Source
from tasks.core.escaping import escape_line
from tasks.core.events import Event, Listener, Progress, RunWarning
from tasks.results.rows import DocumentStatus, Row
from tasks.views.summary import documents

MOST_SINGLE_DOCUMENTS = 50
"""Up to this many documents to read, each is a task run.

A document that is one costs Prefect 3 requests and 12 events, four times as much as a page; in a block it costs 0.1 and
0.2 (docs/architecture/performance.md).
"""
_SHOW_SECONDS = 15.0


class DocumentBlock:
    """Consecutive documents of a batch. Its task run begins with the first of them, and ends with the last.

    Attributes:
        rows: the results so far.
        sample: the document that stands for all of them where to look at each would take long.
        log: for what happens to its documents; the task run's own, once that has begun.
    """

    def __init__(self, sources: Sequence[Source], first: int) -> None:
        names = [escape_line(sources[at].path.name) for at in (0, -1)]
        self._name = f"documents {first}-{first + len(sources) - 1}: {' to '.join(names)}"
        self.rows: list[Row] = []
        self.sample = sources[0]
        self.log = get_run_logger()
        self._documents: set[asyncio.Task[None]] = set()
        self._all_begun = asyncio.Event()
        self._artifact = Artifact(None, self._name, _SHOW_SECONDS, self._table)

    def begun(self, document: asyncio.Task[None], group: asyncio.TaskGroup) -> None:
        """Add a document that has begun; the first begins the task run, in the group of the documents."""
        if not self._documents:
            group.create_task(self._run())
        self._documents.add(document)

    def close(self) -> None:
        """Begin no more of its documents."""
        self._all_begun.set()

    def listener(self, document: str) -> Listener:
        """Return a listener that logs a document's progress and warnings with its name."""

        def hear(event: Event) -> None:
            if isinstance(event, (Progress, RunWarning)):
                self.log.info("%s: %s", document, event.message)

        return hear

    def add(self, row: Row) -> None:
        """Add the result of a document."""
        self.rows.append(row)
        if row.status in {DocumentStatus.FAILED, DocumentStatus.PARTIAL}:
            self.log.warning("%s: %s. %s", escape_line(row.document), row.status, row.why)

    async def show_until_ended(self) -> None:
        """Show the results from time to time, until the last document has ended, and then all of them."""
        ended = asyncio.create_task(self._ended())
        seconds: float | None = None
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=_SHOW_SECONDS)
                if not ended.done() and self.rows:
                    await self._artifact.show()
            seconds = LAST_SECONDS
        finally:
            ended.cancel()
            if self.rows:
                await self._artifact.show(seconds)

    def state(self) -> State[None]:
        """Return the final state of its task run, by its results."""
        counts = Counter(row.status for row in self.rows)
        message = ", ".join(f"{counts[status]} {status}" for status in DocumentStatus if counts[status])
        if counts[DocumentStatus.FAILED] == len(self.rows):
            return Failed(message=message)
        if counts[DocumentStatus.LEFT]:
            return Completed(name="Stopped", message=message)
        partial = counts[DocumentStatus.FAILED] or counts[DocumentStatus.PARTIAL]
        return Completed(name="Partial" if partial else None, message=message)

    def __str__(self) -> str:
        return self._name

    async def _ended(self) -> None:
        await self._all_begun.wait()
        await asyncio.wait(self._documents)

    async def _run(self) -> None:
        read: Any = read_documents  # Prefect's types do not know that an async task's state is awaited, too
        state = await read(self, return_state=True)
        if state.is_cancelled():
            raise_if_paused()
            raise asyncio.CancelledError

    async def _table(self) -> str:
        return documents(sorted(self.rows, key=lambda row: row.document))


@task(name="read-documents", task_run_name="{block}", cache_policy=NO_CACHE, persist_result=False, **QUIET)
async def read_documents(block: DocumentBlock) -> State[None]:
    """Wait for a block's documents, whose results are stored one by one, and show them as a table."""
    block.log = get_run_logger()
    try:
        await until_paused(block.show_until_ended())
    except (Pause, asyncio.CancelledError):
        return cancelled_task()
    return block.state()
