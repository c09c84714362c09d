"""Requests that were accepted and are not yet runs of Prefect: a small file each, submitted one after another.

Whoever posts is answered when the request is on disk, however busy Prefect is; SQLite, say, takes one writer at a time.
What is queued outlives the backend. Of several processes over one directory, one submits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from pydantic import ValidationError

from flows.api.prefect_state import RefusedError, answer_of_prefect
from flows.api.records import Record, write_new
from flows.api.runs import Runs
from flows.orchestrator.trigger import Asked, generation_of, trigger
from tasks.core.errors import HearthError
from tasks.core.jobs import Document, Frozen, Job
from tasks.results.store import results_directory
from tasks.storage.file_locks import FileLease, try_exclusive

_LOOK_SECONDS = 1.0
_LONGEST_PAUSE = 30.0
_REFUSED_SECONDS = 60.0

_log = logging.getLogger("hearth.api")


class Request(Frozen):
    """A request that was accepted.

    Attributes:
        id: by which the API knows it.
        job: as the deployment is given it.
        key: what requests for the same have in common.
        document: the document that was found usable.
        pages: those that were asked for.
        first: the generation to begin with.
    """

    id: UUID
    job: Job
    key: str
    document: Document
    pages: str
    created: datetime
    first: int = 0

    def record(self, run: FlowRun | None = None) -> Record:
        """What is remembered of it before, and after it became a run."""
        job = self.job if run is None else Job.model_validate(run.parameters["job"])
        document = self.document.model_copy(update={"path": Path(job.document)})
        return Record(
            id=self.id,
            run=run and run.id,
            sha256=self.document.sha256,
            pages=self.pages,
            output=Path(str(results_directory(Path(job.output or ""), document))),
            created=(run and run.created) or self.created,
            generation=generation_of(run) if run else self.first,
        )


class Queue:
    """Submits what was accepted. Use as an async context manager.

    Args:
        directory: of what waits; it exists.
        runs: what became of it.
        client: of Prefect's API.
        seconds: how long a request to Prefect is sent again before it counts as not answered.
        owner: the backend; see `flows.orchestrator.trigger`.
    """

    def __init__(self, directory: Path, runs: Runs, client: PrefectClient, seconds: float, owner: str) -> None:
        self._directory = directory
        self._runs = runs
        self._prefect = client
        self._seconds = seconds
        self._owner = owner
        self._more = asyncio.Event()
        self._not_before: dict[UUID, float] = {}

    async def add(self, request: Request) -> None:
        """Have it submitted; it is on disk then. A request that was added before stays as it is."""
        text = request.model_dump_json(exclude_none=True)
        await asyncio.to_thread(write_new, self._path(request.id), text)
        await asyncio.to_thread(self._runs.remember_new, request.record())
        self._more.set()

    async def __aenter__(self) -> Self:
        """Begin to submit."""
        self._submitting = asyncio.create_task(self._submit_all())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; what was not submitted stays."""
        self._submitting.cancel()  # for certain: a time-out of its own may be just cancelling it
        await asyncio.wait([self._submitting])

    async def _submit_all(self) -> None:
        turn: FileLease | None = None
        pause = _LOOK_SECONDS
        try:
            while True:
                self._more.clear()
                turn = turn or try_exclusive(self._directory / ".lock")
                try:
                    well = turn is None or await self._round()
                except Exception as error:  # noqa: BLE001 - if this loop ended, none would be submitted any more
                    _log.error("The queue stopped at an error (%s) and goes on.", type(error).__name__)
                    well = False
                pause = _LOOK_SECONDS if well else min(2 * pause, _LONGEST_PAUSE)
                await self._wait(pause, until_more=well)
        finally:
            if turn is not None:
                turn.release()

    async def _wait(self, seconds: float, *, until_more: bool) -> None:
        try:
            async with asyncio.timeout(seconds):
                await (self._more.wait() if until_more else asyncio.Event().wait())
        except TimeoutError:
            pass

    async def _round(self) -> bool:
        """Submit what is due, the oldest first; whether Prefect was well."""
        waiting = await asyncio.to_thread(_requests, self._directory)
        for request in waiting:
            if self._not_before.get(request.id, 0.0) > time.monotonic():
                continue
            try:
                await self._submit(request)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one, the others go on
                if isinstance(error, HearthError) and not isinstance(error, RefusedError):
                    self._tell(waiting, str(error))
                    return False
                self._not_before[request.id] = time.monotonic() + _REFUSED_SECONDS
                self._tell([request], str(error) if isinstance(error, HearthError) else type(error).__name__)
        return True

    async def _submit(self, request: Request) -> None:
        known = self._runs.record(request.id)
        if known is None or known.run is None:
            run = await answer_of_prefect(self._ask(request), self._seconds)
            await self._noted(request.record(run))
        self._path(request.id).unlink(missing_ok=True)
        self._runs.troubles.pop(request.id, None)
        self._not_before.pop(request.id, None)

    async def _noted(self, record: Record) -> None:
        await asyncio.to_thread(self._runs.remember, record)

    def _ask(self, request: Request) -> Callable[[], Awaitable[FlowRun]]:
        client, job, content = self._prefect, request.job, request.document.sha256
        asked = Asked(request.key, self._owner, str(request.id), request.first)
        return lambda: trigger(client, job, content, asked=asked)

    def _tell(self, waiting: list[Request], why: str) -> None:
        new = [request.id for request in waiting if self._runs.troubles.get(request.id) != why]
        if new:
            self._runs.troubles.update(dict.fromkeys(new, why))
            _log.warning("%d accepted documents wait for Prefect: %s", len(new), why)

    def _path(self, request: UUID) -> Path:
        return self._directory / f"{request}.json"


def _requests(directory: Path) -> list[Request]:
    found = [each for path in directory.glob("*.json") if (each := _read(path)) is not None]
    return sorted(found, key=lambda request: request.created)


def _read(path: Path) -> Request | None:
    try:
        return Request.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
