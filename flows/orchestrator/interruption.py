"""Ctrl-C, or whoever awaits the run, ends it: Prefect would call that crashed, and notify whoever is on call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled

# Less than a command takes to wind up.
_SECONDS = 10.0


@asynccontextmanager
async def cancelled_if_interrupted(terminated: Callable[[], bool]) -> AsyncIterator[None]:
    """Have a run that is interrupted here end as Cancelled.

    Args:
        terminated: whether SIGTERM ended a worker's run; what that means, Prefect knows.
    """
    try:
        yield
    except (asyncio.CancelledError, KeyboardInterrupt) as error:
        context = FlowRunContext.get()
        if context is not None and context.flow_run is not None and not terminated():
            await _note(context.flow_run, error)
        raise


async def _note(run: FlowRun, error: BaseException) -> None:
    state: State[Any] = Cancelled(
        message="It was interrupted. The pages stored so far stand: run it again, or Retry, to go on."
    )
    with suppress(httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound, TimeoutError):
        async with asyncio.timeout(_SECONDS), get_client() as client:
            await client.set_flow_run_state(run.id, state, force=True)
            # Prefect's engine, whose run this is, leaves it so, and raises what is in it.
            run.state = state.model_copy(update={"data": error})
