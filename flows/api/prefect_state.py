"""Calls to Prefect's API with retries, and the states of runs."""

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
"""Responses that reject this one request."""


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
    """It ended before all pages had begun."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """Prefect no longer has the run."""


class PrefectCalls:
    """Calls to Prefect's API, which are retried after transient errors.

    Args:
        client: of Prefect's API.
        seconds: time limit of all attempts of a call.
    """

    def __init__(self, client: PrefectClient, seconds: float) -> None:
        self.client = client
        self._seconds = seconds
        self._checking = asyncio.Lock()
        self._missing: list[str] = []
        self._fresh_until = float("-inf")

    async def call(self, request: Callable[[], Awaitable[T]]) -> T:
        """Return the response to an idempotent request.

        While its database is locked, Prefect's server delays a request for a minute, and then responds with 503.

        Raises:
            RefusedError: Prefect rejects the request.
            ServerError: Prefect does not respond, or not in time.
        """
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    try:
                        return await request()
                    except httpx.TransportError:
                        pass
                    except PrefectHTTPStatusError as error:
                        if error.response.status_code not in _TRANSIENT:
                            raise
                    await asyncio.sleep(RETRY_SECONDS)
        except (TimeoutError, httpx.HTTPError, PrefectHTTPStatusError) as error:
            if isinstance(error, PrefectHTTPStatusError) and (code := error.response.status_code) in _REJECTED:
                why = f"Prefect refuses the request (HTTP {code}). Check the log of its server."
                raise RefusedError(why) from None
            raise ServerError("Prefect does not respond. Try again later.") from None

    async def state(self, run: UUID) -> State[Any] | None:
        """Return the state of a run; None if Prefect no longer has it."""

        async def read() -> State[Any] | None:
            try:
                return (await self.client.read_flow_run(run)).state
            except ObjectNotFound:
                return None

        return await self.call(read)

    async def states(self, runs: Sequence[UUID]) -> dict[UUID, State[Any] | None]:
        """Return the states of up to `STATES_PER_REQUEST` runs, without those that Prefect no longer has."""
        chosen = FlowRunFilter(id=FlowRunFilterId(any_=list(runs)))
        response = await self.call(lambda: self.client.read_flow_runs(flow_run_filter=chosen, limit=STATES_PER_REQUEST))
        return {run.id: run.state for run in response}

    async def cancel(self, run: UUID) -> None:
        """Cancel a run. Prefect cancels one that no worker has started at once, and leaves one that has ended."""

        async def set_state() -> None:
            with suppress(ObjectNotFound):
                await self.client.set_flow_run_state(run, Cancelling())

        await self.call(set_state)

    async def missing(self) -> list[str]:
        """Return the parts of Prefect that do not work; a result is reused for some seconds."""
        async with self._checking:
            if time.monotonic() >= self._fresh_until:
                self._missing = await self._check()
                self._fresh_until = time.monotonic() + _FRESH_SECONDS
        return self._missing

    async def _check(self) -> list[str]:
        try:
            async with asyncio.timeout(_HEALTH_SECONDS):
                await self.client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            return ["deployment"]
        except (TimeoutError, httpx.HTTPError, PrefectHTTPStatusError):
            return ["prefect"]
        return []


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
