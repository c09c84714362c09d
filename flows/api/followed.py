"""A run that clients follow: its record, the pages that the worker has stored, and its state in Prefect."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Scheduled

from flows.api.prefect_state import PrefectCalls, Status, is_over, status_of
from flows.api.records import Record
from tasks.core.page_ranges import parse_ranges
from tasks.results.listing import DOUBTFUL
from tasks.results.manifest import Manifest
from tasks.results.page import PageResult, PageStatus
from tasks.results.store import ResultStore

STATE_SECONDS = 1.0
"""How long a state is reused."""
_RESCAN_SECONDS = 2.0
"""A directory that seems unchanged is scanned this often: it may change twice within the resolution of its clock."""

QUEUED = "Queued"
"""Name of the state of accepted requests that are not flow runs yet."""


@dataclass(frozen=True)
class Seen:
    """A stored page. Its inode identifies the file's version, since each write creates another file."""

    inode: int
    status: PageStatus
    facts: dict[str, Any]
    finished_at: datetime


@dataclass(frozen=True)
class Queued:
    """The states of requests that are not flow runs yet.

    Attributes:
        record: reads the record of a request.
        reasons: why requests wait, if that is known.
    """

    record: Callable[[UUID], Record | None] = lambda _: None
    reasons: dict[UUID, str] = field(default_factory=dict)

    def state(self, record: Record) -> State[Any]:
        """Return a request's state as Prefect would."""
        if record.cancelled:
            return Cancelled(message="It was cancelled before it was submitted to Prefect.")
        return Scheduled(name=QUEUED, message=self.reasons.get(record.id))


class Followed:
    """A run with its progress. All clients that follow it share one object, so that its directory is scanned once."""

    def __init__(self, record: Record, prefect: PrefectCalls, queued: Queued | None = None) -> None:
        self.record = record
        self.numbers = frozenset(parse_ranges(record.pages))
        self.pages: dict[int, Seen] = {}
        self.changes = 0
        """Number of changes of `pages`."""
        self._prefect = prefect
        self._queued = queued or Queued()
        self._scanned: tuple[int, float] = (0, 0.0)
        self._scanning = asyncio.Lock()
        self._state: State[Any] | None = None
        self._state_at = float("-inf")
        self._request: asyncio.Task[State[Any] | None] | None = None

    @property
    def store(self) -> ResultStore:
        """The results, which the worker stores."""
        return ResultStore(self.record.output)

    def refresh(self) -> None:
        """Read the record again if the run was queued."""
        if self.record.run is None:
            self.record = self._queued.record(self.record.id) or self.record

    async def look(self, *, fresh: bool = False) -> None:
        """Update `pages`; with `fresh`, even if the directory seems unchanged."""
        async with self._scanning:
            await asyncio.to_thread(self._scan, fresh=fresh)

    async def state(self, *, fresh: bool = False) -> State[Any] | None:
        """Return the state in Prefect, at most a second old, or new with `fresh`; None if Prefect has no such run.

        Raises:
            ServerError: Prefect does not respond.
        """
        self.refresh()
        if self.record.run is None:
            return self._queued.state(self.record)
        if fresh:
            return await self._fetch(self.record.run)
        if self._request is None and time.monotonic() - self._state_at <= STATE_SECONDS:
            return self._state
        if self._request is None:
            self._request = asyncio.create_task(self._fetch(self.record.run))
            self._request.add_done_callback(self._end_request)
        # A cancelled caller leaves the request to the others that wait for it.
        return await asyncio.shield(self._request)

    async def _fetch(self, run: UUID) -> State[Any] | None:
        self._state = await self._prefect.state(run)
        self._state_at = time.monotonic()
        return self._state

    def _end_request(self, request: asyncio.Task[State[Any] | None]) -> None:
        self._request = None
        if not request.cancelled():
            request.exception()  # marks it as retrieved, even if no caller waits for it any more

    def is_final(self, number: int, *, ended: bool) -> bool:
        """Return whether this run will not read a stored page again; it may do so if an earlier run failed at it."""
        seen = self.pages[number]
        return ended or seen.status is not PageStatus.FAILED or seen.finished_at >= self.record.created

    async def view(self, state: State[Any] | None) -> dict[str, Any]:
        """Return the run in the API's format."""
        ended = is_over(state)
        await self.look(fresh=ended)
        manifest = await asyncio.to_thread(self.store.manifest) if ended else None
        final = [number for number in self.pages if self.is_final(number, ended=ended)]
        statuses = [self.pages[number].status for number in final]
        return {
            **list_view(self.record, status_of(state)),
            "prefect": None if state is None else {"type": state.type, "name": state.name, "message": state.message},
            "pages": {
                "asked": len(self.numbers),
                "done": len(final),
                "read": statuses.count(PageStatus.READ),
                "blank": statuses.count(PageStatus.BLANK),
                "failed": sorted(number for number in final if self.pages[number].status is PageStatus.FAILED),
                **_doubts([self.pages[number].facts for number in final], manifest),
            },
            **_cost(manifest, self.record.run),
        }

    def _scan(self, *, fresh: bool) -> None:
        directory, store = self.record.output / "pages", self.store
        try:
            changed = directory.stat().st_mtime_ns
        except OSError:
            return  # the worker has not started
        stamp, at = self._scanned
        if not fresh and changed == stamp and time.monotonic() - at < _RESCAN_SECONDS:
            return
        self._scanned = (changed, time.monotonic())
        with os.scandir(directory) as entries:
            for entry in entries:
                name = entry.name.removesuffix(".json")
                if not name.isdecimal() or (number := int(name)) not in self.numbers:
                    continue
                seen = self.pages.get(number)
                if seen is None or seen.inode != entry.inode():
                    result = store.page(number)
                    if result is not None:
                        self.pages[number] = _seen(entry.inode(), result)
                        self.changes += 1


def list_view(record: Record, status: Status) -> dict[str, Any]:
    """Return a run in the format of the list."""
    here = f"/documents/{record.id}"
    return {
        "id": str(record.id),
        "run": record.run and str(record.run),
        "sha256": record.sha256,
        "filename": record.filename,
        "created": record.created.isoformat().replace("+00:00", "Z"),
        "status": status,
        "links": {
            "self": here,
            **{name: f"{here}/{name}" for name in ("events", "text", "data", "manifest", "pages")},
            "page": f"{here}/pages/{{number}}",
        },
    }


def _seen(inode: int, result: PageResult) -> Seen:
    facts: dict[str, Any] = {"page": result.page, "status": result.status.value, "seconds": result.seconds}
    if result.reason is not None:
        facts["reason"] = result.reason.value
    if result.status is PageStatus.READ:
        facts["confidence"] = result.confidence
    return Seen(inode, result.status, facts, result.finished_at)


def _doubts(pages: Sequence[dict[str, Any]], manifest: Manifest | None) -> dict[str, Any]:
    """Return the doubtful pages, the least confident first, and how many pages were read with none that is known."""
    below = DOUBTFUL if manifest is None else manifest.doubtful_below
    confidence = {page["page"]: page["confidence"] for page in pages if "confidence" in page}
    known = {number: value for number, value in confidence.items() if value is not None}
    doubtful = sorted((number for number, value in known.items() if value < below), key=lambda number: known[number])
    return {"doubtful": doubtful, "confidence_unknown": len(confidence) - len(known)}


def _cost(manifest: Manifest | None, run: UUID | None) -> dict[str, Any]:
    """Return the machine and its cost; both are null until the run has ended."""
    if manifest is None or manifest.flow_run_id != str(run):
        return {"machine": None, "cost_usd": None}
    endpoint = manifest.endpoint
    machine = endpoint and {
        "backend": endpoint.backend.value,
        "slots": endpoint.slots,
        "slots_seen": endpoint.slots_proven,
        "machines": [record.model_dump(mode="json") for record in manifest.machines],
    }
    return {"machine": machine, "cost_usd": manifest.cost_usd}
