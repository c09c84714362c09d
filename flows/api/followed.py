"""A run that is followed: its record, the pages as the worker stores them, and its state in Prefect."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Scheduled

from flows.api.prefect_state import Status, answer_of_prefect, is_over, status_of
from flows.api.records import Record
from tasks.results.manifest import Manifest
from tasks.results.page import PageResult, PageStatus
from tasks.results.store import ResultStore

_STATE_SECONDS = 1.0
# A directory that changed within its clock's resolution looks unchanged: look into it that often all the same.
_RESCAN_SECONDS = 2.0

QUEUED = "Queued"
"""The name of the state of what was accepted, and is not yet a run of Prefect."""


@dataclass(frozen=True)
class Seen:
    """A page that is stored; its file is known by its inode, since each writing makes another file."""

    inode: int
    status: PageStatus
    facts: dict[str, Any]
    finished_at: datetime


@dataclass(frozen=True)
class Queued:
    """What is known of requests that are not yet runs of Prefect.

    Attributes:
        record: reads one's record.
        troubles: why they wait, where that is known.
    """

    record: Callable[[UUID], Record | None] = lambda _: None
    troubles: dict[UUID, str] = field(default_factory=dict)

    def state(self, record: Record) -> State[Any]:
        """A state as Prefect would tell it."""
        if record.cancelled:
            return Cancelled(message="It was cancelled before it was submitted to Prefect.")
        return Scheduled(name=QUEUED, message=self.troubles.get(record.id))


class Followed:
    """A run that somebody looks at. All who do share it, so that its directory is scanned once for all of them."""

    def __init__(self, record: Record, client: PrefectClient, seconds: float, queued: Queued | None = None) -> None:
        self._is(record)
        self.numbers = frozenset(record.numbers)
        self.pages: dict[int, Seen] = {}
        self.changes = 0
        """How often `pages` has changed."""
        self._client = client
        self._seconds = seconds
        self._queued = queued or Queued()
        self._scanned: tuple[int, float] = (0, 0.0)
        self._scanning = asyncio.Lock()
        self._state: State[Any] | None = None
        self._answered = float("-inf")
        self._asking: asyncio.Task[State[Any] | None] | None = None

    def _is(self, record: Record) -> None:
        self.record = record
        self.store = ResultStore(record.output)
        self._directory = record.output / "pages"

    def refresh(self) -> None:
        """Find out what has become of it, if it was queued."""
        if self.record.run is None and (known := self._queued.record(self.record.id)) is not None:
            self.becomes(known)

    def becomes(self, record: Record) -> None:
        """Go on with the record that there is by now."""
        if record != self.record:
            self._is(record)

    async def look(self, *, anew: bool = False) -> None:
        """Bring `pages` up to date; `anew`, even if nothing seems to have changed."""
        async with self._scanning:
            await asyncio.to_thread(self._scan, anew=anew)

    async def state(self, *, anew: bool = False) -> State[Any] | None:
        """In Prefect, a second old at the most, or `anew`; None if it has forgotten the run.

        Raises:
            ServerError: Prefect does not answer.
        """
        self.refresh()
        if self.record.run is None:
            return self._queued.state(self.record)
        if anew:
            return await self._ask(self.record.run)
        if self._asking is None and time.monotonic() - self._answered <= _STATE_SECONDS:
            return self._state
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(self.record.run))
            self._asking.add_done_callback(self._asked)
        # Whoever stops waiting leaves the request to those who still wait for it.
        return await asyncio.shield(self._asking)

    async def _ask(self, run: UUID) -> State[Any] | None:
        async def read() -> State[Any] | None:
            try:
                return (await self._client.read_flow_run(run)).state
            except ObjectNotFound:
                return None

        self._state = await answer_of_prefect(read, self._seconds)
        self._answered = time.monotonic()
        return self._state

    def _asked(self, asking: asyncio.Task[State[Any] | None]) -> None:
        self._asking = None
        if not asking.cancelled():
            asking.exception()  # and nobody may have waited for it

    def failed(self, *, ended: bool) -> list[int]:
        """The pages that failed, but while the run goes on not those of a run before it: they are read again."""
        return sorted(n for n, seen in self.pages.items() if seen.status is PageStatus.FAILED and self.stands(n, ended))

    def stands(self, number: int, ended: bool) -> bool:  # noqa: FBT001 - as in `failed`
        """Whether a stored page will not be read again by this run."""
        seen = self.pages[number]
        return ended or seen.status is not PageStatus.FAILED or seen.finished_at >= self.record.created

    async def view(self, state: State[Any] | None) -> dict[str, Any]:
        """The run as the API tells it."""
        ended = is_over(state)
        await self.look(anew=ended)
        manifest = await asyncio.to_thread(self.store.manifest) if ended else None
        standing = [number for number in self.pages if self.stands(number, ended)]
        shown = [self.pages[number].status for number in standing]
        return {
            **listed(self.record, status_of(state)),
            "prefect": None if state is None else {"type": state.type, "name": state.name, "message": state.message},
            "pages": {
                "asked": len(self.numbers),
                "done": len(standing),
                "read": shown.count(PageStatus.READ),
                "blank": shown.count(PageStatus.BLANK),
                "failed": self.failed(ended=ended),
            },
            **_paid(manifest, self.record.run),
        }

    def _scan(self, *, anew: bool) -> None:
        try:
            changed = self._directory.stat().st_mtime_ns
        except OSError:
            return  # the worker has not begun
        stamp, at = self._scanned
        if not anew and changed == stamp and time.monotonic() - at < _RESCAN_SECONDS:
            return
        self._scanned = (changed, time.monotonic())
        with os.scandir(self._directory) as entries:
            for entry in entries:
                name = entry.name.removesuffix(".json")
                if not name.isdecimal() or (number := int(name)) not in self.numbers:
                    continue
                known = self.pages.get(number)
                if known is None or known.inode != entry.inode():
                    result = self.store.page(number)
                    if result is not None:
                        self.pages[number] = _seen(entry.inode(), result)
                        self.changes += 1


def listed(record: Record, status: Status) -> dict[str, Any]:
    """A run as the list of all tells it."""
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
            **{what: f"{here}/{what}" for what in ("events", "text", "manifest")},
            "page": f"{here}/pages/{{number}}",
        },
    }


def _seen(inode: int, result: PageResult) -> Seen:
    facts = {"page": result.page, "status": result.status.value, "seconds": result.seconds}
    if result.reason is not None:
        facts["reason"] = result.reason.value
    return Seen(inode, result.status, facts, result.finished_at)


def _paid(manifest: Manifest | None, run: UUID | None) -> dict[str, Any]:
    """The machine and what it cost; both null until the run has ended."""
    if manifest is None or manifest.flow_run_id != str(run):
        return {"machine": None, "cost_usd": None}
    endpoint = manifest.endpoint
    machine = endpoint and {
        "backend": endpoint.backend.value,
        "slots": endpoint.slots,
        "machines": [record.model_dump(mode="json") for record in manifest.machines],
    }
    return {"machine": machine, "cost_usd": manifest.cost_usd}
