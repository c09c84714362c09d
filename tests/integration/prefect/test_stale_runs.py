"""What a new worker does about runs of the previous one, on a real Prefect server without a worker."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.orchestrator.stale_runs import crash_stale, drop_missed, free_leaked_slots
from tests.support.commands import PrefectServer

pytestmark = pytest.mark.long("makes runs on a Prefect server for each test: 3 s")

POOL = "made-for-stale-runs"
NAME = "sweep-machines/made-for-stale-runs"


class Deployed:
    """Deployments of a pool, of Hearth's flow `sweep-machines` and of a flow of somebody else's."""

    def __init__(self, prefect: PrefectServer) -> None:
        self.prefect = prefect
        prefect.ask("POST", "work_pools/", json={"name": POOL, "type": "process"})
        self.ours, self.others = (self._deployment(flow) for flow in ("sweep-machines", "somebodys"))

    def run(self, deployment: str, minutes_late: float = 0, *, tags: tuple[str, ...] = ()) -> str:
        at = (datetime.now(UTC) - timedelta(minutes=minutes_late)).isoformat()
        state = {"type": "SCHEDULED", "name": "Scheduled", "state_details": {"scheduled_time": at}}
        asked = {"state": state, "tags": list(tags), "idempotency_key": uuid.uuid4().hex}
        return self.prefect.ask("POST", f"deployments/{deployment}/create_flow_run", json=asked).json()["id"]

    def claim(self, run: str) -> str:
        """As a worker does; how the server answers."""
        asked = {"state": {"type": "PENDING", "name": "Pending"}}
        self.prefect.ask("POST", f"flow_runs/{run}/set_state", json=asked)
        return self.state(run)

    def state(self, run: str) -> str:
        return self.prefect.ask("GET", f"flow_runs/{run}").json()["state_type"]

    def limit(self, most: int, active: int) -> None:
        options = {"concurrency_limit": most, "concurrency_options": {"collision_strategy": "CANCEL_NEW"}}
        self.prefect.ask("PATCH", f"deployments/{self.ours}", json=options)
        self.prefect.ask("PATCH", f"v2/concurrency_limits/{self.slots['id']}", json={"active_slots": active})

    @property
    def slots(self) -> dict[str, Any]:
        return self.prefect.ask("GET", f"deployments/{self.ours}").json()["global_concurrency_limit"]

    def _deployment(self, flow: str) -> str:
        made = self.prefect.ask("POST", "flows/", json={"name": flow}).json()["id"]
        asked = {"name": POOL, "flow_id": made, "work_pool_name": POOL}
        return self.prefect.ask("POST", "deployments/", json=asked).json()["id"]


@pytest.fixture
def deployed(prefect: PrefectServer) -> Iterator[Deployed]:
    made = Deployed(prefect)
    with temporary_settings({PREFECT_API_URL: prefect.api}):
        yield made
    for run in prefect("flow_runs", work_pools={"name": {"any_": [POOL]}}):
        prefect.ask("DELETE", f"flow_runs/{run['id']}")
    for deployment in (made.ours, made.others):
        prefect.ask("DELETE", f"deployments/{deployment}")
    prefect.ask("DELETE", f"work_pools/{POOL}")


@pytest.fixture
async def client(deployed: Deployed) -> Any:
    async with get_client() as client:
        yield client


async def test_a_run_that_was_claimed_long_ago_and_never_began_becomes_crashed(
    client: PrefectClient, deployed: Deployed
):
    run = deployed.run(deployed.ours)
    assert deployed.claim(run) == "PENDING"
    assert await crash_stale(client, POOL, seconds=3600) == []
    assert [str(each) for each in await crash_stale(client, POOL, seconds=0)] == [run]
    assert deployed.state(run) == "CRASHED"


async def test_runs_of_other_flows_are_not_changed(client: PrefectClient, deployed: Deployed):
    run = deployed.run(deployed.others)
    deployed.claim(run)
    missed = [deployed.run(deployed.others, minutes_late=late, tags=("auto-scheduled",)) for late in (60, 30)]
    assert await crash_stale(client, POOL, seconds=0) == []
    assert await drop_missed(client, POOL) == []
    assert [deployed.state(each) for each in (run, *missed)] == ["PENDING", "SCHEDULED", "SCHEDULED"]


async def test_only_the_latest_missed_scheduled_run_is_kept(client: PrefectClient, deployed: Deployed):
    by_schedule = ("auto-scheduled",)
    first, second, third = (deployed.run(deployed.ours, late, tags=by_schedule) for late in (60, 30, 5))
    coming = deployed.run(deployed.ours, -5, tags=by_schedule)
    asked_for = deployed.run(deployed.ours, 45)
    assert {str(each) for each in await drop_missed(client, POOL)} == {first, second}
    assert {deployed.state(run) for run in (first, second)} == {"CANCELLED"}
    assert {deployed.state(run) for run in (third, coming, asked_for)} == {"SCHEDULED"}


async def test_slots_that_no_run_holds_are_freed_and_held_ones_are_kept(client: PrefectClient, deployed: Deployed):
    deployed.limit(most=3, active=0)
    assert deployed.claim(deployed.run(deployed.ours)) == "PENDING"
    deployed.limit(most=3, active=3)  # as after a restart of a server that forgot two leases
    await free_leaked_slots(client, ["sweep-machines/not-there", NAME])
    assert deployed.slots["active_slots"] == 1
