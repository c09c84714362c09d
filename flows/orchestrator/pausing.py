"""A pause in Prefect's UI: reading stops within seconds, stored pages are kept, and *Resume* reads the others.

Prefect stops a suspended run at its next task run, but while a machine boots or a block of pages is read, none begins
for minutes. And Prefect takes an exception group for an error, even if a pause has raised it.
"""

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
    """Raise `Pause` if the run is paused: Prefect then leaves it to be resumed."""
    state = _paused()
    if state is not None:
        raise Pause(state=state)


async def until_paused(work: Coroutine[Any, Any, T]) -> T:
    """Do the work of a run; if the run is paused, cancel the work, which then releases its slots and servers.

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
        # The surrounding task group ends for the same reason: it must see a pause, and not a crash.
        cast("asyncio.Task[Any]", asyncio.current_task()).uncancel()
    finally:
        await cancel_and_wait(working)
    if working.cancelled() or working.exception() is not None:
        raise_if_paused()
    return working.result()


def run_began() -> datetime:
    """Return when the current flow run began first; a retry, a *Resume* or another worker does not change it.

    At the first start, it is this machine's time, by which pages are stored, and not that of Prefect's server.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    # Prefect does not count a resumption as another start, but adds up how long the run has run before.
    if run is None or run.start_time is None or (run.run_count <= 1 and not run.total_run_time):
        return datetime.now(UTC)
    return run.start_time


def _paused() -> State[Any] | None:
    """Return the state of the current flow run if it was paused; Prefect keeps it up to date."""
    context = FlowRunContext.get()
    return context.flow_run_suspension_request.get_state() if context is not None else None
