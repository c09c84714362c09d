"""End runs that will never begin: claimed by a worker that was killed, or due while no worker was running.

A worker claims a run (PENDING) some seconds before the run's own process begins it. If the worker is killed in between,
Prefect leaves the run PENDING for ever. It counts against the limit of its work pool, and against that of its
deployment until its lease ends, or for ever if the server lost its leases in a restart. See docs/how-to/prefect.md.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter, WorkPoolFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

FLOWS = ["process-document", "process-batch", "plan-costs", "idle-shutdown", "sweep-machines"]
"""All of Hearth's flows; other runs on the same server are left alone."""
PENDING_SECONDS = 600.0
"""A run's process begins it within seconds, or on a busy machine within minutes."""
_LATE_SECONDS = 60.0
_AT_ONCE = 200


async def crash_stale(client: PrefectClient, pool: str, seconds: float = PENDING_SECONDS) -> list[UUID]:
    """End the runs of a work pool that have been PENDING for longer than `seconds`, and return their ids."""
    before = datetime.now(UTC) - timedelta(seconds=seconds)
    pending = await _read(client, pool, {"state": {"type": {"any_": ["PENDING"]}}})
    stale = [run for run in pending if run.state is not None and run.state.timestamp < before]
    for run in stale:
        message = "Its worker was gone before the run began. Run it again."
        await client.set_flow_run_state(run.id, Crashed(message=message))
    return [run.id for run in stale]


async def drop_missed(client: PrefectClient, pool: str) -> list[UUID]:
    """Cancel scheduled runs of a work pool that were due while no worker was running, and return their ids.

    Each deployment's latest is kept: after a weekend there are hundreds of sweeps, and one does the work of all.
    """
    late = datetime.now(UTC) - timedelta(seconds=_LATE_SECONDS)
    due = {
        "state": {"type": {"any_": ["SCHEDULED"]}},
        "tags": {"all_": ["auto-scheduled"]},
        "expected_start_time": {"before_": late},
    }
    by_deployment: dict[UUID | None, list[FlowRun]] = defaultdict(list)
    for run in await _read(client, pool, due):
        if run.run_count == 0:  # a run that has begun and awaits its retry is not replaced by a later one
            by_deployment[run.deployment_id].append(run)
    missed = [
        run
        for runs in by_deployment.values()
        for run in sorted(runs, key=lambda run: run.expected_start_time or late)[:-1]
    ]
    for run in missed:
        message = "No worker was running when it was due, and a later run does its work."
        await client.set_flow_run_state(run.id, Cancelled(message=message))
    return [run.id for run in missed]


async def free_leaked_slots(client: PrefectClient, deployments: Sequence[str]) -> None:
    """Free concurrency slots of deployments that no run holds: a restarted Prefect server forgets their holders.

    Deployments are named as flow/name; those that do not exist or have no limit are skipped.
    """
    for name in deployments:
        try:
            deployment = await client.read_deployment_by_name(name)
        except ObjectNotFound:
            continue
        limit = deployment.global_concurrency_limit
        if limit is None or not limit.active_slots:
            continue
        holding = {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}
        held = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate(
                {"deployment_id": {"any_": [deployment.id]}, "state": holding}
            ),
            limit=_AT_ONCE,
        )
        if len(held) < limit.active_slots:
            update = GlobalConcurrencyLimitUpdate(active_slots=len(held))
            await client.update_global_concurrency_limit(limit.name, update)


async def _read(client: PrefectClient, pool: str, matching: dict[str, Any]) -> list[FlowRun]:
    """Return all runs of Hearth's flows in a work pool that match a filter."""
    runs: list[FlowRun] = []
    while True:
        page = await client.read_flow_runs(
            flow_filter=FlowFilter.model_validate({"name": {"any_": FLOWS}}),
            flow_run_filter=FlowRunFilter.model_validate(matching),
            work_pool_filter=WorkPoolFilter.model_validate({"name": {"any_": [pool]}}),
            sort=FlowRunSort.ID_DESC,
            limit=_AT_ONCE,
            offset=len(runs),
        )
        runs += page
        if len(page) < _AT_ONCE:
            return runs
