"""Runs that nobody will begin: claimed by a worker that was killed since, or missed while no worker was there.

A worker claims a run (PENDING) some seconds before the run's own process begins it. If the worker is killed in between,
Prefect leaves the run PENDING for ever. It counts against the limits of its work pool, and against its deployment's
until its lease ends; if the server forgot its leases in a restart, that is never. See docs/how-to/prefect.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

FLOWS = ["process-document", "process-batch", "plan-costs", "idle-shutdown", "sweep-machines"]
"""All of Hearth's. What others run on the same server is their own affair."""
PENDING_SECONDS = 600.0
"""A run's process begins it within seconds, on a machine with much else to do within minutes."""
_LATE_SECONDS = 60.0
_AT_ONCE = 200
_HOLDING = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_BY_SCHEDULE = "auto-scheduled"


async def crash_stale(client: PrefectClient, pool: str, seconds: float = PENDING_SECONDS) -> list[UUID]:
    """End the runs of a work pool that have been PENDING for so long, and return them."""
    pending = await _read(client, pool, FlowRunFilter(state=_in_state(StateType.PENDING)))
    before = datetime.now(UTC) - timedelta(seconds=seconds)
    stale = [run for run in pending if run.state is not None and run.state.timestamp < before]
    for run in stale:
        told = "Its worker was gone before the run began. Run it again."
        await client.set_flow_run_state(run.id, Crashed(message=told))
    return [run.id for run in stale]


async def drop_missed(client: PrefectClient, pool: str) -> list[UUID]:
    """Cancel the scheduled runs of a work pool that came due while no worker was there, but for the latest of each.

    After a weekend there are hundreds of sweeps, of which one does the work of all.

    Returns:
        Those that were cancelled.
    """
    due = FlowRunFilter(
        state=_in_state(StateType.SCHEDULED),
        tags=FlowRunFilterTags(all_=[_BY_SCHEDULE]),
        expected_start_time=FlowRunFilterExpectedStartTime(
            before_=datetime.now(UTC) - timedelta(seconds=_LATE_SECONDS)
        ),
    )
    by_deployment: dict[UUID | None, list[FlowRun]] = defaultdict(list)
    for run in await _read(client, pool, due):
        if run.run_count == 0:  # one that was begun, and awaits its retry, is no copy of a later one
            by_deployment[run.deployment_id].append(run)
    missed = [run for runs in by_deployment.values() for run in sorted(runs, key=_expected)[:-1]]
    for run in missed:
        told = "No worker was there when it was due, and a later one does its work."
        await client.set_flow_run_state(run.id, Cancelled(message=told))
    return [run.id for run in missed]


async def free_leaked_slots(client: PrefectClient, deployments: Sequence[str]) -> None:
    """Give deployments' slots back that no run holds: a Prefect server that restarts forgets who held them.

    Args:
        client: of Prefect's API.
        deployments: as flow/name; those that there are not, or that have no limit, are left out.
    """
    for name in deployments:
        try:
            deployment = await client.read_deployment_by_name(name)
        except ObjectNotFound:
            continue
        limit = deployment.global_concurrency_limit
        if limit is None or not limit.active_slots:
            continue
        held = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate(
                {"deployment_id": {"any_": [deployment.id]}, "state": {"type": {"any_": _HOLDING}}}
            ),
            limit=_AT_ONCE,
        )
        if len(held) < limit.active_slots:
            await client.update_global_concurrency_limit(
                limit.name, GlobalConcurrencyLimitUpdate(active_slots=len(held))
            )


async def _read(client: PrefectClient, pool: str, wanted: FlowRunFilter) -> list[FlowRun]:
    """All runs of Hearth's flows in a work pool that a filter lets through."""
    found: list[FlowRun] = []
    while True:
        some = await client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=FLOWS)),
            flow_run_filter=wanted,
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
            sort=FlowRunSort.ID_DESC,
            limit=_AT_ONCE,
            offset=len(found),
        )
        found += some
        if len(some) < _AT_ONCE:
            return found


def _in_state(state: StateType) -> FlowRunFilterState:
    return FlowRunFilterState(type=FlowRunFilterStateType(any_=[state]))


def _expected(run: FlowRun) -> datetime:
    return run.expected_start_time or datetime.min.replace(tzinfo=UTC)
