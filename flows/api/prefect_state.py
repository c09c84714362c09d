"""The states of runs in Prefect, and calls to its API with retries."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelling

from flows.orchestrator.trigger import DEPLOYMENT
from tasks.core.errors import ServerError

T = TypeVar("T")

STATES_PER_REQUEST = 200
"""Most runs that Prefect returns in one response."""

RETRY_SECONDS = 1.0
_FRESH_SECONDS = 5.0
_HEALTH_SECONDS = 3.0

_TRANSIENT = {408, 429, 502, 503, 504}
_REJECTED = {400, 409, 413, 422}
"""Responses that concern this one request."""


class RefusedError(ServerError):
    """Prefect responds, but rejects this one request."""


class Status(StrEnum):
    """The status of a run."""

    WAITING = "waiting"
    """In the queue, or for a worker."""
    READING = "reading"
    CANCELLING = "cancelling"
    COMPLETE = "complete"
    PARTIAL = "partial"
    """Finished, but some pages failed."""
    STOPPED = "stopped"
    """It ended before all pages were started."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """Prefect no longer has the run."""


async def call_prefect(call: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Return the response to an idempotent call to Prefect, and retry it after transient errors.

    While its database is locked, Prefect's server delays a request for a minute, and then responds with 503.

    Args:
        call: sends the request or requests.
        seconds: limit for all attempts.

    Raises:
        RefusedError: Prefect rejects the request.
        ServerError: Prefect does not respond, or not in time.
    """
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await call()
                except (httpx.TransportError, PrefectHTTPStatusError) as error:
                    if not _is_transient(error):
                        raise
                await asyncio.sleep(RETRY_SECONDS)
    except (TimeoutError, httpx.HTTPError, PrefectHTTPStatusError) as error:
        if isinstance(error, PrefectHTTPStatusError) and (code := error.response.status_code) in _REJECTED:
            raise RefusedError(f"Prefect refuses the request (HTTP {code}). Check the log of its server.") from None
        raise ServerError("Prefect does not respond. Try again later.") from None


def _is_transient(error: httpx.TransportError | PrefectHTTPStatusError) -> bool:
    return isinstance(error, httpx.TransportError) or error.response.status_code in _TRANSIENT


async def states_of(client: PrefectClient, runs: Sequence[UUID], seconds: float) -> dict[UUID, State[Any] | None]:
    """Return the states of up to `STATES_PER_REQUEST` runs, without those that Prefect no longer has.

    Raises:
        ServerError: see `call_prefect`.
    """
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=list(runs)))
    response = await call_prefect(
        lambda: client.read_flow_runs(flow_run_filter=chosen, limit=STATES_PER_REQUEST), seconds
    )
    return {run.id: run.state for run in response}


async def cancel(client: PrefectClient, run: UUID, seconds: float) -> None:
    """Cancel a run. Prefect cancels one that no worker has started at once, and leaves one that has ended.

    Raises:
        ServerError: see `call_prefect`.
    """

    async def set_state() -> None:
        with suppress(ObjectNotFound):
            await client.set_flow_run_state(run, Cancelling())

    await call_prefect(set_state, seconds)


def is_over(state: State[Any] | None) -> bool:
    """Return whether a run has ended; one that Prefect no longer has counts as ended."""
    return state is None or state.is_final()


def status_of(state: State[Any] | None) -> Status:
    """Return the status for a state of Prefect."""
    if state is None:
        return Status.UNKNOWN
    if state.type is StateType.COMPLETED:
        return {"Partial": Status.PARTIAL, "Stopped": Status.STOPPED}.get(state.name or "", Status.COMPLETE)
    statuses = {
        StateType.RUNNING: Status.READING,
        StateType.CANCELLING: Status.CANCELLING,
        StateType.CANCELLED: Status.CANCELLED,
        StateType.FAILED: Status.FAILED,
        StateType.CRASHED: Status.FAILED,
    }
    return statuses.get(state.type, Status.WAITING)


class PrefectHealth:
    """Checks of Prefect, one at a time, whose result is reused for some seconds.

    Args:
        client: of Prefect's API.
    """

    def __init__(self, client: PrefectClient) -> None:
        self._client = client
        self._lock = asyncio.Lock()
        self._missing: list[str] = []
        self._fresh_until = float("-inf")

    async def missing(self) -> list[str]:
        """Return the parts that do not work."""
        async with self._lock:
            if time.monotonic() >= self._fresh_until:
                self._missing = await self._check()
                self._fresh_until = time.monotonic() + _FRESH_SECONDS
        return self._missing

    async def _check(self) -> list[str]:
        try:
            async with asyncio.timeout(_HEALTH_SECONDS):
                await self._client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            return ["deployment"]
        except (TimeoutError, httpx.HTTPError, PrefectHTTPStatusError):
            return ["prefect"]
        return []
