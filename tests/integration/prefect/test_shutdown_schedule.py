"""Scheduled checks of a machine, on a real Prefect server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.engine.shutdown_schedule import DEPLOYMENT, schedule_idle_shutdown
from tasks.core.events import Event, subscribe
from tasks.settings.settings import Settings
from tests.support.commands import PrefectServer
from tests.support.waiting import PATIENCE

MACHINE = "i-0123456789abcdef0"
NEXT_CENTURY = 4_102_444_800.0  # 2100-01-01, in seconds since the epoch


@pytest.fixture
def deployed(prefect: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server on which idle-shutdown is deployed and no worker runs it."""
    monkeypatch.setattr("flows.engine.shutdown_schedule.SCHEDULE_SECONDS", PATIENCE)
    flow, name = DEPLOYMENT.split("/")
    made = prefect.ask("POST", "flows/", json={"name": flow}).json()["id"]
    made = prefect.ask("POST", "deployments/", json={"name": name, "flow_id": made}).json()["id"]
    with temporary_settings({PREFECT_API_URL: prefect.api}):
        yield
    for run in looks(prefect):
        prefect.ask("DELETE", f"flow_runs/{run['id']}")
    prefect.ask("DELETE", f"deployments/{made}")


def looks(prefect: PrefectServer) -> list[dict[str, Any]]:
    return prefect("flow_runs", flow_runs={"tags": {"all_": [f"machine:{MACHINE}"]}})


def scheduled(prefect: PrefectServer) -> list[float]:
    """When the looks that were not cancelled come, seconds after the century's turn."""
    coming = [run["expected_start_time"] for run in looks(prefect) if run["state_type"] == "SCHEDULED"]
    return [datetime.fromisoformat(each.replace("Z", "+00:00")).timestamp() - NEXT_CENTURY for each in coming]


async def test_a_check_replaces_the_earlier_one_whichever_is_due_first(deployed: None, prefect: PrefectServer):
    for at in (60, 120, 30):
        await schedule_idle_shutdown(Settings(), MACHINE, NEXT_CENTURY + at)
    assert scheduled(prefect) == [30]


@pytest.mark.long("four writers at once on one Prefect server: 17 s")
async def test_simultaneous_releases_leave_one_check(deployed: None, prefect: PrefectServer):
    await asyncio.gather(*(schedule_idle_shutdown(Settings(), MACHINE, NEXT_CENTURY + at) for at in range(4)))
    assert len(looks(prefect)) == 4
    assert len(scheduled(prefect)) == 1


async def test_a_check_after_a_check_does_not_replace_that_of_a_later_release(deployed: None, prefect: PrefectServer):
    await schedule_idle_shutdown(Settings(), MACHINE, NEXT_CENTURY + 60)
    await schedule_idle_shutdown(Settings(), MACHINE, NEXT_CENTURY + 300, released=False)
    assert sorted(scheduled(prefect)) == [60, 300]
    await schedule_idle_shutdown(Settings(), MACHINE, NEXT_CENTURY + 120)
    assert scheduled(prefect) == [120]


async def test_a_check_that_could_not_be_replaced_causes_no_warning(
    deployed: None, prefect: PrefectServer, monkeypatch: pytest.MonkeyPatch
):
    """A superfluous check finds that the machine is gone, or in use."""
    await schedule_idle_shutdown(Settings(), MACHINE, NEXT_CENTURY + 60)

    async def refuse(*_: object, **__: object) -> None:
        response = httpx.Response(503, request=httpx.Request("POST", "http://prefect"))
        raise PrefectHTTPStatusError.from_httpx_error(
            httpx.HTTPStatusError("busy", request=response.request, response=response)
        )

    monkeypatch.setattr(PrefectClient, "set_flow_run_state", refuse)
    told: list[Event] = []
    with subscribe(told.append):
        await schedule_idle_shutdown(Settings(), MACHINE, NEXT_CENTURY + 120)
    assert told == []
    assert sorted(scheduled(prefect)) == [60, 120]
