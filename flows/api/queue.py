"""The queue, which submits accepted requests to Prefect, one after another.

A client gets its response as soon as the request is on disk, even if Prefect is busy: SQLite, for example, accepts one
writer at a time. The queue survives a restart. Of several processes that share a directory, one submits.
"""

import asyncio
import logging
import time
from contextlib import suppress
from functools import partial
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from flows.api.accepted import Accepted, Request, requests_in
from flows.api.prefect_state import PrefectCalls, RefusedError
from flows.api.runs import Runs
from flows.orchestrator.trigger import runs_of, trigger
from tasks.core.errors import HearthError, ServerError
from tasks.core.file_locks import FileLock, try_exclusive

POLL_SECONDS = 1.0
LONGEST_PAUSE = 30.0
REFUSED_SECONDS = 60.0

_log = logging.getLogger("hearth.api")


class _WithdrawnError(Exception):
    """The request is no longer in the queue."""


class Queue:
    """Submits accepted requests to Prefect.

    `owner` is the backend's identity; see `flows.orchestrator.trigger`.
    """

    def __init__(self, accepted: Accepted, runs: Runs, prefect: PrefectCalls, owner: str) -> None:
        self._accepted = accepted
        self._runs = runs
        self._prefect = prefect
        self._owner = owner
        self._more = asyncio.Event()
        self._not_before: dict[UUID, float] = {}
        self._unconfirmed: dict[UUID, Request] = {}
        """Requests for which Prefect may have created a run without having confirmed it."""

    def submit_soon(self) -> None:
        """Submit a new request without waiting for the next poll."""
        self._more.set()

    async def submit_all(self) -> None:
        """Submit requests until this is cancelled; those that are left stay in the queue."""
        lock: FileLock | None = None
        pause = POLL_SECONDS
        try:
            while True:
                self._more.clear()
                lock = lock or try_exclusive(self._accepted.directory / ".lock")
                try:
                    succeeded = lock is None or await self._round()
                except Exception as error:  # noqa: BLE001 - if this loop ended, nothing would be submitted any more
                    _log.error("The queue failed (%s) and continues.", type(error).__name__)
                    succeeded = False
                pause = POLL_SECONDS if succeeded else min(2 * pause, LONGEST_PAUSE)
                if succeeded:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause):  # not `wait_for`, which may lose a cancellation
                            await self._more.wait()
                else:
                    await asyncio.sleep(pause)
        finally:
            if lock is not None:
                lock.release()

    async def _round(self) -> bool:
        """Submit what is due, oldest first, and return whether Prefect responded."""
        waiting = await asyncio.to_thread(requests_in, self._accepted.directory)
        for request in waiting:
            if self._not_before.get(request.id, 0.0) > time.monotonic():
                continue
            try:
                await self._submit(request)
            except Exception as error:  # noqa: BLE001 - a failure of one request must not stop the others
                if isinstance(error, HearthError) and not isinstance(error, RefusedError):
                    self._report(waiting, str(error))
                    return False
                self._not_before[request.id] = time.monotonic() + REFUSED_SECONDS
                self._report([request], str(error) if isinstance(error, HearthError) else type(error).__name__)
        return await self._cancel_withdrawn()

    async def _cancel_withdrawn(self) -> bool:
        """Cancel runs that Prefect created for requests without confirming it before they were withdrawn."""
        for request in [r for r in self._unconfirmed.values() if not self._accepted.is_waiting(r.id)]:
            try:
                known = request.run_request(self._owner)
                for run in await self._prefect.call(partial(runs_of, self._prefect.client, known)):
                    await self._prefect.cancel(run.id)
                    await asyncio.to_thread(self._accepted.record_run, request, run)
            except ServerError:
                return False
            self._forget(request)
        return True

    async def _submit(self, request: Request) -> None:
        record = self._runs.record(request.id)
        if record is not None and (record.run is not None or record.cancelled):
            self._accepted.remove(request.id)  # the backend was killed before it did so
            return
        try:
            run = await self._prefect.call(partial(self._trigger, request))
        except _WithdrawnError:
            return
        if await asyncio.to_thread(self._accepted.record_submitted, request, run):
            self._forget(request)

    async def _trigger(self, request: Request) -> FlowRun:
        if not self._accepted.is_waiting(request.id):
            raise _WithdrawnError
        self._unconfirmed[request.id] = request
        return await trigger(
            self._prefect.client,
            request.job,
            request.document.sha256,
            request=request.run_request(self._owner),
            has_results=lambda run: request.record(run).output.exists(),
        )

    def _report(self, waiting: list[Request], why: str) -> None:
        reasons = self._runs.queued.reasons
        new = [request.id for request in waiting if reasons.get(request.id) != why]
        if new:
            reasons.update(dict.fromkeys(new, why))
            _log.warning("%d accepted documents wait for Prefect: %s", len(new), why)

    def _forget(self, request: Request) -> None:
        for by_request in (self._unconfirmed, self._not_before, self._runs.queued.reasons):
            by_request.pop(request.id, None)
