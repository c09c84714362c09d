"""What Prefect says of a run, and how long it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, TypeVar

import httpx
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import PrefectHTTPStatusError

from tasks.core.errors import ServerError

T = TypeVar("T")

_AGAIN_SECONDS = 1.0


_PASSING = {408, 429, 502, 503, 504}
_OF_ITSELF = {400, 409, 413, 422}
"""What Prefect answers because of this one request."""


class RefusedError(ServerError):
    """Prefect answers, but does not take this one request."""


class Status(StrEnum):
    """How far a run is, in Hearth's words."""

    WAITING = "waiting"
    """For a worker."""
    READING = "reading"
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
        StateType.CANCELLING: Status.READING,
        StateType.CANCELLED: Status.CANCELLED,
        StateType.FAILED: Status.FAILED,
        StateType.CRASHED: Status.FAILED,
    }
    return words.get(state.type, Status.WAITING)
