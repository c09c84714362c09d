"""A run that clients follow: its record, the pages that the worker has stored, and its state in Prefect."""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Scheduled

from flows.api.prefect_state import Status, call_prefect, is_over, status_of
from flows.api.records import Record
from tasks.results.manifest import DOUBTFUL, Manifest
from tasks.results.page import PageResult, PageStatus
from tasks.results.store import ResultStore

STATE_SECONDS = 1.0
"""How long a state is reused."""
# A directory that changes twice within the resolution of its clock looks unchanged: scan it this often all the same.
_RESCAN_SECONDS = 2.0

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
        reasons: why requests wait, where that is known.
    """

    record: Callable[[UUID], Record | None] = lambda _: None
    reasons: dict[UUID, str] = field(default_factory=dict)

    def state(self, record: Record) -> State[Any]:
        """Return a request's state as Prefect would."""
        if record.cancelled:
            return Cancelled(message="It was cancelled before it was submitted to Prefect.")
        return Scheduled(name=QUEUED, message=self.reasons.get(record.id))


class Followed:
    """A run with its progress. All who follow it share one object, so that its directory is scanned once for all."""

    def __init__(self, record: Record, client: PrefectClient, seconds: float, queued: Queued | None = None) -> None:
        self._use(record)
        self.numbers = frozenset(record.numbers)
        self.pages: dict[int, Seen] = {}
        self.changes = 0
        """Number of changes of `pages`."""
        self._client = client
        self._seconds = seconds
        self._queued = queued or Queued()
        self._scanned: tuple[int, float] = (0, 0.0)
        self._scanning = asyncio.Lock()
        self._state: State[Any] | None = None
        self._state_at = float("-inf")
        self._request: asyncio.Task[State[Any] | None] | None = None

    def _use(self, record: Record) -> None:
        self.record = record
        self.store = ResultStore(record.output)
        self._directory = record.output / "pages"

    def refresh(self) -> None:
        """Read the record again if the run was queued."""
        if self.record.run is None and (record := self._queued.record(self.record.id)) is not None:
            self.update(record)

    def update(self, record: Record) -> None:
        """Continue with a newer record."""
        if record != self.record:
            self._use(record)

    async def look(self, *, fresh: bool = False) -> None:
        """Update `pages`; `fresh` even if nothing seems to have changed."""
        async with self._scanning:
            await asyncio.to_thread(self._scan, fresh=fresh)

    async def state(self, *, fresh: bool = False) -> State[Any] | None:
        """Return the state in Prefect, at most a second old, or `fresh`; None if Prefect has no such run.

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
            self._request.add_done_callback(self._finished)
        # A cancelled caller leaves the request to the others that wait for it.
        return await asyncio.shield(self._request)

    async def _fetch(self, run: UUID) -> State[Any] | None:
        async def read() -> State[Any] | None:
            try:
                return (await self._client.read_flow_run(run)).state
            except ObjectNotFound:
                return None

        self._state = await call_prefect(read, self._seconds)
        self._state_at = time.monotonic()
        return self._state

    def _finished(self, request: asyncio.Task[State[Any] | None]) -> None:
        self._request = None
        if not request.cancelled():
            request.exception()  # marks it as seen, although nobody may have waited for it

    def failed(self, *, ended: bool) -> list[int]:
        """Return the failed pages, without those of an earlier run that an active run reads again."""
        pages = self.pages.items()
        return sorted(n for n, seen in pages if seen.status is PageStatus.FAILED and self.is_final(n, ended))

    def is_final(self, number: int, ended: bool) -> bool:  # noqa: FBT001 - as in `failed`
        """Return whether this run will not read a stored page again."""
        seen = self.pages[number]
        return ended or seen.status is not PageStatus.FAILED or seen.finished_at >= self.record.created

    async def view(self, state: State[Any] | None) -> dict[str, Any]:
        """Return the run in the API's format."""
        ended = is_over(state)
        await self.look(fresh=ended)
        manifest = await asyncio.to_thread(self.store.manifest) if ended else None
        final = [number for number in self.pages if self.is_final(number, ended)]
        statuses = [self.pages[number].status for number in final]
        return {
            **listed(self.record, status_of(state)),
            "prefect": None if state is None else {"type": state.type, "name": state.name, "message": state.message},
            "pages": {
                "asked": len(self.numbers),
                "done": len(final),
                "read": statuses.count(PageStatus.READ),
                "blank": statuses.count(PageStatus.BLANK),
                "failed": self.failed(ended=ended),
                **_doubts([self.pages[number].facts for number in final], manifest),
            },
            **_cost(manifest, self.record.run),
        }

    def _scan(self, *, fresh: bool) -> None:
        try:
            changed = self._directory.stat().st_mtime_ns
        except OSError:
            return  # the worker has not started
        stamp, at = self._scanned
        if not fresh and changed == stamp and time.monotonic() - at < _RESCAN_SECONDS:
            return
        self._scanned = (changed, time.monotonic())
        with os.scandir(self._directory) as entries:
            for entry in entries:
                name = entry.name.removesuffix(".json")
                if not name.isdecimal() or (number := int(name)) not in self.numbers:
                    continue
                seen = self.pages.get(number)
                if seen is None or seen.inode != entry.inode():
                    result = self.store.page(number)
                    if result is not None:
                        self.pages[number] = _seen(entry.inode(), result)
                        self.changes += 1


def listed(record: Record, status: Status) -> dict[str, Any]:
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
            **{name: f"{here}/{name}" for name in ("events", "text", "manifest")},
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
        "machines": [record.model_dump(mode="json") for record in manifest.machines],
    }
    return {"machine": machine, "cost_usd": manifest.cost_usd}
