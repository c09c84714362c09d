"""Schedule a run of the deployment `idle-shutdown`, which checks a machine when its idle time is over."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings
from prefect.states import Cancelled, Scheduled

from tasks.core.events import RunWarning, emit
from tasks.settings.settings import Settings

DEPLOYMENT = "idle-shutdown/idle-shutdown"
SCHEDULE_SECONDS = 60.0
"""Time limit of scheduling, seconds: as long as Prefect's server waits for its database's lock."""


async def schedule_idle_shutdown(settings: Settings, machine: str, at: float, *, released: bool = True) -> None:
    """Schedule a check of a machine, which replaces the earlier ones.

    If it cannot be scheduled, the run goes on: the machine's watchdog and the sweep stop machines, too.

    Args:
        settings: the settings of the machine's pool.
        machine: the EC2 instance's id.
        at: time of the check, seconds since the epoch.
        released: whether the machine was just released. If it was only checked, earlier checks stay: another run may
            have released it since, and scheduled an earlier check.
    """
    check: FlowRun | None = None
    left = f"{machine} is left to its own watchdog and to the sweep."
    not_deployed = f"{DEPLOYMENT} is not deployed here: {left}"
    if not get_current_settings().api.url:  # no server, and so no deployment
        emit(RunWarning(not_deployed))
        return
    try:
        async with asyncio.timeout(SCHEDULE_SECONDS), get_client() as client:
            try:
                deployment = await client.read_deployment_by_name(DEPLOYMENT)
            except ObjectNotFound:
                emit(RunWarning(not_deployed))
                return
            tag = f"machine:{machine}"
            check = await client.create_flow_run_from_deployment(
                deployment.id,
                parameters={"machine": machine, "pool": settings.ec2.pool, "region": settings.ec2.region},
                state=Scheduled(scheduled_time=datetime.fromtimestamp(at, UTC)),
                tags=[tag],
                # A repeated request creates one run; if it had a name, it would fail.
                idempotency_key=f"{machine} {at:.3f}",
            )
            if released:
                await _replace_earlier(client, tag, check)
    except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound, TimeoutError) as error:
        if check is None:  # otherwise an earlier check was not cancelled, which does no harm
            emit(RunWarning(f"Prefect did not schedule the idle shutdown ({type(error).__name__}): {left}"))


async def _replace_earlier(client: PrefectClient, tag: str, check: FlowRun) -> None:
    """Cancel the scheduled checks of the same machine that were created before this one.

    They are read after this one was created: of two simultaneous ones, each sees the other, and the later stays.
    """
    scheduled = FlowRunFilter.model_validate({"tags": {"all_": [tag]}, "state": {"type": {"any_": ["SCHEDULED"]}}})
    for run in await client.read_flow_runs(flow_run_filter=scheduled):
        if _created(run) < _created(check):
            with suppress(ObjectNotFound):
                await client.set_flow_run_state(run.id, Cancelled(message="A later check was scheduled."))


def _created(run: FlowRun) -> tuple[datetime, UUID]:
    return run.created or datetime.max.replace(tzinfo=UTC), run.id
