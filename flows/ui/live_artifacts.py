"""A run's artifacts in Prefect's UI while it goes on: progress, pages, servers, slots, and at the end a summary."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from types import TracebackType
from typing import Any, Self

from flows.ui.artifacts import LAST_SECONDS, MOST_SINGLE, Artifact, Data, artifact_key
from tasks.backends.base import Allocation
from tasks.backends.server_status import ServerStatus, clock
from tasks.core.errors import CloudError, StorageError
from tasks.core.events import Event, PagesStarted, SlotsChanged
from tasks.reading.events import PageDone, ServerReleased, ServerTaken
from tasks.results.manifest import Manifest
from tasks.results.page import PageResult, PageStatus
from tasks.results.store import ResultStore
from tasks.settings.settings import Settings
from tasks.views.summary import Held, page_row, servers, summary
from tasks.views.timeline import Timeline
from tasks.views.timeline_chart import embedded

TICK_SECONDS = 1.0


class Live:
    """A listener that keeps the artifacts of one run up to date. Use as an async context manager.

    However many pages the run has, it holds at most the rows of 200 of them, and the buckets of a picture. A batch has
    no pages of its own (`has_pages`), and its documents have no servers of their own (`has_servers`).
    """

    def __init__(self, name: str, settings: Settings, *, has_pages: bool = True, has_servers: bool = True) -> None:
        self._name = name
        self._excerpts = settings.excerpts
        self._lock = threading.Lock()  # events of pages come on another thread
        self._total = self._done = 0
        self._listed = False
        self._rows: dict[int, dict[str, Any]] = {}
        self._timeline = Timeline()
        self._run_servers = _RunServers()
        self._summary: str | None = None
        self._has_pages = has_pages
        self._has_servers = has_servers
        self.progress = self._artifact("progress", f"Pages of {name} read", 2.0, self._percent)
        self.pages = self._artifact("pages", f"Pages of {name}", 15.0, self._table)
        self._servers = self._artifact("servers", f"Servers of {name}", 60.0, self._servers_now)
        self.slots = self._artifact("slots", f"Slots and page times of {name}", 30.0, self._picture)
        self._end = self._artifact("summary", f"Reading {name}", 0.0, self._ended)
        self._all = (self.progress, self.pages, self._servers, self.slots, self._end)
        self._keeping: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    def __call__(self, event: Event) -> None:
        """Take note of an event; called on any thread."""
        match event:
            case PagesStarted(total=total, standing=standing, slots=slots):
                self._total, self._done = total, standing
                self._listed = self._has_pages and total - standing <= MOST_SINGLE
                self.progress.changed = self._has_pages
                self._slots_now(slots)
            case PageDone(result=result):
                self._page(result)
            case SlotsChanged(slots=slots):
                self._slots_now(slots)
            case ServerTaken(allocation=allocation):
                self._run_servers.rows.append((allocation, _row(allocation, "", "not asked yet")))
                self._servers.changed, self._servers.due = True, 0.0
            case ServerReleased(allocation=allocation, message=what):
                self._run_servers.released(allocation, what)
                self._servers.changed, self._servers.due = True, 0.0
            case _:
                pass

    async def ended(self, manifest: Manifest, store: ResultStore) -> None:
        """Show the summary of a run that has ended, and also the pages that stood before it in the table."""
        self._summary = summary(manifest, self._run_servers.held, store.document_path)
        self._end.changed = True
        if self._has_pages and len(manifest.pages) <= MOST_SINGLE:
            missing = [entry.page for entry in manifest.pages if entry.page not in self._rows]
            with suppress(StorageError):
                for result in await asyncio.to_thread(lambda: list(store.results(missing))):
                    self._rows[result.page] = page_row(result, excerpts=self._excerpts)
            self.pages.changed = True

    async def __aenter__(self) -> Self:
        """Begin to update the artifacts."""
        self._keeping = asyncio.create_task(self._keep_shown())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show the final state."""
        # Not cancelled: an artifact that is being sent would count as shown, or be created twice.
        self._ending.set()
        if self._keeping is not None:
            await self._keeping
        seconds = LAST_SECONDS if kind is None else None
        await asyncio.gather(*(artifact.show(seconds) for artifact in self._all if artifact.changed))

    async def _keep_shown(self) -> None:
        for artifact in (self.pages, self.slots):
            artifact.due = time.monotonic() + artifact.seconds
        while not self._ending.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._ending.wait()
            for artifact in self._all:
                if artifact.changed and time.monotonic() >= artifact.due and not self._ending.is_set():
                    await artifact.show()
                    artifact.due = time.monotonic() + artifact.seconds
            # Leases are renewed, and the time at which a machine stops moves.
            self._servers.changed |= self._run_servers.any_in_use

    def _page(self, result: PageResult) -> None:
        with self._lock:
            self._done += 1
            self.progress.changed = self._has_pages
            if self._listed:
                self._rows[result.page] = page_row(result, excerpts=self._excerpts)
                self.pages.changed = True
            if self._has_servers:
                failed = result.status is PageStatus.FAILED
                self._timeline.page(time.monotonic(), result.seconds, failed=failed)
                self.slots.changed = True

    def _slots_now(self, slots: int) -> None:
        with self._lock:
            self._timeline.slots(time.monotonic(), slots)

    def _artifact(
        self, what: str, description: str, seconds: float, data: Callable[[], Awaitable[Data | None]]
    ) -> Artifact:
        return Artifact(artifact_key(self._name, what), description, seconds, data)

    async def _percent(self) -> float:
        return 100.0 * self._done / self._total if self._total else 0.0

    async def _table(self) -> list[dict[str, Any]] | None:
        with self._lock:
            return [row for _, row in sorted(self._rows.items())] or None

    async def _servers_now(self) -> str | None:
        held = await self._run_servers.refreshed()
        return servers(held) if held else None

    async def _picture(self) -> str | None:
        with self._lock:
            return f"{embedded(self._timeline)}\n" if self._timeline.pages else None

    async def _ended(self) -> str | None:
        return self._summary


class NotShown(nullcontext[None]):
    """Stands for `Live` where a document has no artifacts of its own."""

    def __call__(self, event: Event) -> None:
        """Ignore an event."""

    async def ended(self, manifest: Manifest, store: ResultStore) -> None:
        """Show nothing."""


class _RunServers:
    """The servers of one run, including those that were given back, as `hearth status` shows them.

    Attributes:
        rows: in the order in which they were taken; without the allocation once it was given back.
    """

    def __init__(self) -> None:
        self.rows: list[tuple[Allocation | None, Held]] = []

    @property
    def any_in_use(self) -> bool:
        return any(allocation is not None for allocation, _ in self.rows)

    @property
    def held(self) -> list[Held]:
        """The rows as they were last known."""
        return [row for _, row in self.rows]

    def released(self, allocation: Allocation, message: str) -> None:
        ended = None, _row(allocation, "given back", message)
        self.rows = [ended if other is allocation else (other, row) for other, row in self.rows]

    async def refreshed(self) -> list[Held]:
        """Return the rows, those of servers in use with their present status."""
        for at, (allocation, _) in enumerate(self.rows):
            if allocation is None:
                continue
            try:
                status = await allocation.lease.status()
            except CloudError:
                status = ServerStatus("", "AWS could not be reached")
            if self.rows[at][0] is not None:  # it was not given back meanwhile
                self.rows[at] = allocation, _row(allocation, status.leases, status.ends)
        return self.held


def _row(allocation: Allocation, leases: str, ends: str) -> Held:
    machine = allocation.machine
    if machine is None:
        owner = "this machine" if allocation.lease.managed else "someone else's"
        return Held(allocation.endpoint.url, owner, None, 0.0, leases, ends)
    kind = f"{machine.id}, {machine.kind}, since {clock(machine.since)}"
    return Held(allocation.endpoint.url, kind, machine.usd_per_hour, machine.usd_so_far(), leases, ends)
