"""Pause from Prefect's UI: pages stop within seconds, what is read stands, and *Resume* goes on with the rest.

Prefect notices a suspended run at its next task run; a machine that boots, or a block of pages under way, has none for
minutes. And what a group of tasks meets together is an error to Prefect, though it be a pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.exceptions import Pause

from tasks.core.aio import cancel_and_wait

_LOOK_SECONDS = 0.5

T = TypeVar("T")


def raise_if_paused() -> None:
    """End the run as paused, if it is.

    Raises:
        Pause: it is; Prefect then leaves the run to be resumed.
    """
    state = _paused()
    if state is not None:
        raise Pause(state=state)


async def until_paused(work: Coroutine[Any, Any, T]) -> T:
    """Do some work of a run, unless the run is paused: then what the work holds is released.

    Raises:
        Pause: the run was paused before the work was done.
    """
    working = asyncio.create_task(work)
    try:
        while not working.done() and _paused() is None:
            await asyncio.wait({working}, timeout=_LOOK_SECONDS)
    except asyncio.CancelledError:
        if _paused() is None:
            raise
        # The group that this run is in ends for the same reason: it is told as such, and not as a crash.
        cast("asyncio.Task[Any]", asyncio.current_task()).uncancel()
    finally:
        await cancel_and_wait(working)
    if working.cancelled() or working.exception() is not None:
        raise_if_paused()
    return working.result()


def run_began() -> datetime:
    """Return when the run that this is a part of began first: a retry, a *Resume* or another worker leaves it.

    The first time it is this machine's clock that counts, by which pages are stored, and not that of Prefect's server.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    # Prefect does not count a run that goes on after a pause as another try; it does add up how long it ran before.
    if run is None or run.start_time is None or (run.run_count <= 1 and not run.total_run_time):
        return datetime.now(UTC)
    return run.start_time


def _paused() -> State[Any] | None:
    """The state of the run, or of the one that it is a part of, if it was paused; Prefect keeps it up to date."""
    context = FlowRunContext.get()
    return context.flow_run_suspension_request.get_state() if context is not None else None
