"""Have the deployment `idle-shutdown` look at a machine when its idle time is over."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Scheduled

from tasks.core.events import RunWarning, emit
from tasks.settings.settings import Settings

DEPLOYMENT = "idle-shutdown/idle-shutdown"
# So long Prefect's server waits when its database is locked.
_SECONDS = 60.0


class _NotDeployedError(Exception):
    """There is no such deployment."""


async def schedule_idle_shutdown(settings: Settings, machine: str, at: float, *, released: bool = True) -> None:
    """Schedule a look at a machine, in the place of those that were scheduled before.

    It is one of three that stop machines; where it cannot be scheduled the others do, and the run goes on.

    Args:
        settings: whose pool it is.
        machine: the EC2 instance's id.
        at: seconds since the epoch.
        released: it was just released. Otherwise it was only looked at, and nothing is replaced: a release may have
            come since, which knows of an earlier end.
    """
    look: FlowRun | None = None
    try:
        if not get_current_settings().api.url:  # no server, and so no deployment
            raise _NotDeployedError
        async with asyncio.timeout(_SECONDS), get_client() as client:
            look = await _scheduled(client, settings, machine, at)
            if released:
                await _replace_earlier(client, machine, look)
    except _NotDeployedError:
        emit(RunWarning(f"{DEPLOYMENT} is not deployed here: {machine} is left to its own watchdog and to the sweep."))
    except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound, TimeoutError) as error:
        if look is None:  # otherwise there is one look too many, which does no harm
            why = type(error).__name__
            left = f"{machine} is left to its own watchdog and to the sweep."
            emit(RunWarning(f"Prefect took no idle shutdown ({why}): {left}"))


async def _scheduled(client: PrefectClient, settings: Settings, machine: str, at: float) -> FlowRun:
    try:
        deployment = await client.read_deployment_by_name(DEPLOYMENT)
    except ObjectNotFound:
        raise _NotDeployedError from None
    return await client.create_flow_run_from_deployment(
        deployment.id,
        parameters={"machine": machine, "pool": settings.ec2.pool, "region": settings.ec2.region},
        state=Scheduled(scheduled_time=datetime.fromtimestamp(at, UTC)),
        tags=[_tag(machine)],
        # Sent twice, it is made once; a name would make a repeated request fail.
        idempotency_key=f"{machine} {at:.3f}",
    )


async def _replace_earlier(client: PrefectClient, machine: str, look: FlowRun) -> None:
    """Cancel the looks at the same machine that were made before this one.

    They are asked for when this one is there: of two that are made at once, each sees the other, and the later stays.
    """
    waiting = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[_tag(machine)]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
    )
    for run in await client.read_flow_runs(flow_run_filter=waiting):
        if _made(run) < _made(look):
            with suppress(ObjectNotFound):
                await client.set_flow_run_state(run.id, Cancelled(message="a later one was scheduled"))


def _made(run: FlowRun) -> tuple[datetime, UUID]:
    return run.created or datetime.max.replace(tzinfo=UTC), run.id


def _tag(machine: str) -> str:
    return f"machine:{machine}"
