"""Submits requests that were accepted to Prefect, one after another.

Whoever posts is answered when the request is on disk, however busy Prefect is; SQLite, say, takes one writer at a time.
What is queued outlives the backend. Of several processes over one directory, one submits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from flows.api.accepted import Accepted, Request
from flows.api.prefect_state import RefusedError, answer_of_prefect, cancel
from flows.api.runs import Runs
from flows.orchestrator.trigger import made_of, trigger
from tasks.core.errors import HearthError, ServerError
from tasks.storage.file_locks import FileLock, try_exclusive

_LOOK_SECONDS = 1.0
_LONGEST_PAUSE = 30.0
_REFUSED_SECONDS = 60.0

_log = logging.getLogger("hearth.api")


class _TakenOutError(Exception):
    """The request waits no longer."""


class Queue:
    """Submits what was accepted. Use as an async context manager.

    Args:
        accepted: what waits.
        runs: what became of it.
        client: of Prefect's API.
        seconds: how long a request to Prefect is sent again before it counts as not answered.
        owner: the backend; see `flows.orchestrator.trigger`.
    """

    def __init__(self, accepted: Accepted, runs: Runs, client: PrefectClient, seconds: float, owner: str) -> None:
        self._accepted = accepted
        self._runs = runs
        self._prefect = client
        self._seconds = seconds
        self._owner = owner
        self._more = asyncio.Event()
        self._not_before: dict[UUID, float] = {}
        self._asked: dict[UUID, Request] = {}
        """Those that Prefect was asked for a run of, and may have made one, as long as it has not told."""

    def submit_soon(self) -> None:
        """Look for what was added."""
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
        turn: FileLock | None = None
        pause = _LOOK_SECONDS
        try:
            while True:
                self._more.clear()
                turn = turn or try_exclusive(self._accepted.directory / ".lock")
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
        waiting = await asyncio.to_thread(self._accepted.all)
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
        return await self._round_of_those_taken_out()

    async def _round_of_those_taken_out(self) -> bool:
        """Cancel runs that Prefect made of requests, though it did not say so before they were cancelled here."""
        for request in [each for each in self._asked.values() if not self._accepted.holds(each.id)]:
            try:
                for run in await answer_of_prefect(self._find(request), self._seconds):
                    await cancel(self._prefect, run.id, self._seconds)
                    await asyncio.to_thread(self._accepted.found_out, request, run)
            except ServerError:
                return False
            self._forget(request)
        return True

    async def _submit(self, request: Request) -> None:
        known = self._runs.record(request.id)
        if known is not None and (known.run is not None or known.cancelled):
            self._accepted.remove(request.id)  # which was to follow when the backend was killed
            return
        try:
            run = await answer_of_prefect(self._ask(request), self._seconds)
        except _TakenOutError:
            return
        if await self._noted(request, run):
            self._forget(request)

    async def _noted(self, request: Request, run: FlowRun) -> bool:
        return await asyncio.to_thread(self._accepted.submitted, request, run)

    def _ask(self, request: Request) -> Callable[[], Awaitable[FlowRun]]:
        client, job, content = self._prefect, request.job, request.document.sha256

        def stands(run: FlowRun) -> bool:
            return request.record(run).output.exists()

        async def ask() -> FlowRun:
            if not self._accepted.holds(request.id):
                raise _TakenOutError
            self._asked[request.id] = request
            return await trigger(client, job, content, asked=request.asked(self._owner), stands=stands)

        return ask

    def _find(self, request: Request) -> Callable[[], Awaitable[list[FlowRun]]]:
        return lambda: made_of(self._prefect, request.asked(self._owner))

    def _tell(self, waiting: list[Request], why: str) -> None:
        troubles = self._runs.queued.troubles
        new = [request.id for request in waiting if troubles.get(request.id) != why]
        if new:
            troubles.update(dict.fromkeys(new, why))
            _log.warning("%d accepted documents wait for Prefect: %s", len(new), why)

    def _forget(self, request: Request) -> None:
        for of_requests in (self._asked, self._not_before, self._runs.queued.troubles):
            of_requests.pop(request.id, None)
