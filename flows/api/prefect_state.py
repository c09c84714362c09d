"""What Prefect says of a run, and how long it is asked."""

from __future__ import annotations

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

ASKED_AT_ONCE = 200
"""The most runs that Prefect answers for in one response."""

_AGAIN_SECONDS = 1.0
_FRESH_SECONDS = 5.0
_HEALTH_SECONDS = 3.0

_PASSING = {408, 429, 502, 503, 504}
_OF_ITSELF = {400, 409, 413, 422}
"""What Prefect answers because of this one request."""


class RefusedError(ServerError):
    """Prefect answers, but does not take this one request."""


class Status(StrEnum):
    """How far a run is, in Hearth's words."""

    WAITING = "waiting"
    """In the queue, or for a worker."""
    READING = "reading"
    CANCELLING = "cancelling"
    COMPLETE = "complete"
    PARTIAL = "partial"
    """Finished, but some pages failed."""
    STOPPED = "stopped"
    """It ended before all pages were begun."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """Prefect has forgotten the run."""


async def answer_of_prefect(ask: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Return Prefect's response to requests that may be sent again, and send them again while a trouble may pass.

    While its database is locked, Prefect's server makes a request wait for a minute, and then answers 503.

    Args:
        ask: sends the requests.
        seconds: limit for all of it.

    Raises:
        RefusedError: Prefect refuses the request.
        ServerError: Prefect does not answer, or not in time.
    """
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    return await ask()
                except (httpx.TransportError, PrefectHTTPStatusError) as error:
                    if not _may_pass(error):
                        raise
                await asyncio.sleep(_AGAIN_SECONDS)
    except (TimeoutError, httpx.HTTPError, PrefectHTTPStatusError) as error:
        if isinstance(error, PrefectHTTPStatusError) and (code := error.response.status_code) in _OF_ITSELF:
            raise RefusedError(f"Prefect refuses the request (HTTP {code}). Look into its server's log.") from None
        raise ServerError("Prefect does not answer just now. Ask again later.") from None


def _may_pass(error: httpx.TransportError | PrefectHTTPStatusError) -> bool:
    return isinstance(error, httpx.TransportError) or error.response.status_code in _PASSING


async def states_of(client: PrefectClient, runs: Sequence[UUID], seconds: float) -> dict[UUID, State[Any] | None]:
    """Return the states of up to `ASKED_AT_ONCE` runs, without those that Prefect has forgotten.

    Raises:
        ServerError: as `answer_of_prefect`.
    """
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=list(runs)))
    found = await answer_of_prefect(lambda: client.read_flow_runs(flow_run_filter=chosen, limit=ASKED_AT_ONCE), seconds)
    return {run.id: run.state for run in found}


async def cancel(client: PrefectClient, run: UUID, seconds: float) -> None:
    """Have a run cancelled. Prefect decides: one that no worker has begun is so at once, one that has ended stays so.

    Raises:
        ServerError: as `answer_of_prefect`.
    """

    async def ask() -> None:
        with suppress(ObjectNotFound):
            await client.set_flow_run_state(run, Cancelling())

    await answer_of_prefect(ask, seconds)


def is_over(state: State[Any] | None) -> bool:
    """Whether a run has ended; one that Prefect has forgotten has."""
    return state is None or state.is_final()


def status_of(state: State[Any] | None) -> Status:
    """Prefect's state in Hearth's words."""
    if state is None:
        return Status.UNKNOWN
    if state.type is StateType.COMPLETED:
        return {"Partial": Status.PARTIAL, "Stopped": Status.STOPPED}.get(state.name or "", Status.COMPLETE)
    words = {
        StateType.RUNNING: Status.READING,
        StateType.CANCELLING: Status.CANCELLING,
        StateType.CANCELLED: Status.CANCELLED,
        StateType.FAILED: Status.FAILED,
        StateType.CRASHED: Status.FAILED,
    }
    return words.get(state.type, Status.WAITING)


class PrefectHealth:
    """What is missing in Prefect. It is asked once at a time, and not again within seconds.

    Args:
        client: of Prefect's API.
    """

    def __init__(self, client: PrefectClient) -> None:
        self._client = client
        self._turn = asyncio.Lock()
        self._missing: list[str] = []
        self._fresh_until = float("-inf")

    async def missing(self) -> list[str]:
        """The parts that do not work."""
        async with self._turn:
            if time.monotonic() >= self._fresh_until:
                self._missing = await self._asked()
                self._fresh_until = time.monotonic() + _FRESH_SECONDS
        return self._missing

    async def _asked(self) -> list[str]:
        try:
            async with asyncio.timeout(_HEALTH_SECONDS):
                await self._client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            return ["deployment"]
        except (TimeoutError, httpx.HTTPError, PrefectHTTPStatusError):
            return ["prefect"]
        return []
