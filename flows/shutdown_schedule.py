"""Have the deployment `idle-shutdown` look at a machine when its idle time is over."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled, Scheduled

from tasks.progress import Caution, tell
from tasks.settings import Settings

DEPLOYMENT = "idle-shutdown/idle-shutdown"
_SECONDS = 10.0


class _NotDeployedError(Exception):
    """There is no such deployment."""


async def schedule_idle_shutdown(settings: Settings, machine: str, at: float) -> None:
    """Schedule a look at a machine, in the place of those that were scheduled before.

    It is one of three that stop machines; where it cannot be scheduled the others do, and the run goes on.

    Args:
        settings: whose pool it is.
        machine: the EC2 instance's id.
        at: seconds since the epoch.
    """
    try:
        async with asyncio.timeout(_SECONDS):
            await _schedule(settings, machine, at)
    except _NotDeployedError:
        tell(Caution(f"{DEPLOYMENT} is not deployed here: {machine} is left to its own watchdog and to the sweep."))
    except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound, TimeoutError) as error:
        why = type(error).__name__
        tell(Caution(f"Prefect took no idle shutdown ({why}): {machine} is left to its own watchdog and to the sweep."))


async def _schedule(settings: Settings, machine: str, at: float) -> None:
    tag = f"machine:{machine}"
    waiting = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[tag]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
    )
    async with get_client() as client:
        try:
            deployment = await client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            raise _NotDeployedError from None
        earlier = await client.read_flow_runs(flow_run_filter=waiting)
        # The new one first: there is no moment at which none is scheduled.
        new = await client.create_flow_run_from_deployment(
            deployment.id,
            parameters={"machine": machine, "pool": settings.ec2.pool, "region": settings.ec2.region},
            state=Scheduled(scheduled_time=datetime.fromtimestamp(at, UTC)),
            tags=[tag],
            # Sent twice, it is made once; a name would make a repeated request fail.
            idempotency_key=f"{machine} {at:.3f}",
        )
        for run in earlier:
            if run.id != new.id:
                with suppress(ObjectNotFound):
                    await client.set_flow_run_state(run.id, Cancelled(message="a later one was scheduled"))
