"""Old runs on a real Prefect server: Hearth's finished runs are deleted, and no others."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.results import ResultRecordMetadata
from prefect.settings import PREFECT_API_URL, PREFECT_LOCAL_STORAGE_PATH, temporary_settings

from flows.local import clean
from flows.local.clean import clean_prefect
from flows.orchestrator.old_runs import OTHERS, count_old_runs, delete_old_runs
from flows.orchestrator.result_json import RESULT_JSON
from tasks.retention.expired import Kind, Tally
from tasks.settings.settings import Settings
from tests.support.commands import PrefectServer
from tests.support.waiting import until

pytestmark = pytest.mark.long("makes runs on a Prefect server for each test: 3 to 6 s")

# Of no other test's runs.
OURS, OTHER = "plan-costs", "somebodys-flow"


def returned(path: Path) -> dict[str, Any]:
    """The state of a run whose result is in a file, as Prefect's client sets it."""
    stored = ResultRecordMetadata(storage_key=str(path), serializer=RESULT_JSON)
    return {"type": "COMPLETED", "data": stored.model_dump(mode="json")}


class Runs:
    def __init__(self, prefect: PrefectServer) -> None:
        self.prefect = prefect
        self.made: list[str] = []
        self.flows = {name: prefect.ask("POST", "flows/", json={"name": name}).json()["id"] for name in (OURS, OTHER)}

    def run(self, flow: str, *states: str | dict[str, Any]) -> str:
        asked = {"flow_id": self.flows[flow], "state": {"type": "PENDING"}, "idempotency_key": uuid.uuid4().hex}
        run = self.prefect.ask("POST", "flow_runs/", json=asked).json()["id"]
        for state in states:
            asked = {"state": {"type": state} if isinstance(state, str) else state}
            self.prefect.ask("POST", f"flow_runs/{run}/set_state", json=asked)
        self.made.append(run)
        return run

    def log(self, run: str) -> None:
        line = {"name": "run", "level": 20, "message": "reading", "timestamp": datetime.now(UTC).isoformat()}
        self.prefect.ask("POST", "logs/", json=[{**line, "flow_run_id": run}])

    def logs(self, run: str) -> list[dict[str, Any]]:
        return self.prefect("logs", logs={"flow_run_id": {"any_": [run]}})

    def left(self) -> set[str]:
        return {run["id"] for run in self.prefect("flow_runs", flow_runs={"id": {"any_": self.made}})}


@pytest.fixture
def runs(prefect: PrefectServer) -> Iterator[Runs]:
    for flow in (OURS, OTHER):
        for run in prefect("flow_runs", flows={"name": {"any_": [flow]}}):
            prefect.ask("DELETE", f"flow_runs/{run['id']}")
    runs = Runs(prefect)
    with temporary_settings({PREFECT_API_URL: prefect.api}):
        yield runs
    for run in runs.left():
        prefect.ask("DELETE", f"flow_runs/{run}")


@pytest.fixture
async def client(runs: Runs) -> AsyncIterator[PrefectClient]:
    async with get_client() as client:
        yield client


@pytest.mark.always
async def test_finished_runs_are_deleted_but_not_the_last_active_or_foreign_ones(client: PrefectClient, runs: Runs):
    old = [runs.run(OURS, "RUNNING", state) for state in ("COMPLETED", "FAILED", "CRASHED")]
    last = runs.run(OURS, "RUNNING", "COMPLETED")
    still = [runs.run(OURS, "RUNNING"), runs.run(OURS)]
    others = runs.run(OTHER, "RUNNING", "COMPLETED")
    assert await count_old_runs(client, [OURS], days=1) == await delete_old_runs(client, [OURS], days=1) == 0
    assert await count_old_runs(client, [OURS], days=0) == 3
    assert await delete_old_runs(client, [OURS], days=0) == 3
    assert runs.left() == {last, *still, others}
    assert not runs.left() & set(old)
    assert await count_old_runs(client, [OURS], days=0) == await delete_old_runs(client, [OURS], days=0) == 0


async def test_more_runs_are_deleted_than_fit_into_one_request(
    client: PrefectClient, runs: Runs, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("flows.orchestrator.old_runs.DELETED_AT_ONCE", 2)
    for _ in range(6):
        runs.run(OURS, "RUNNING", "COMPLETED")
    assert await delete_old_runs(client, [OURS], days=0) == 5
    assert len(runs.left()) == 1


async def test_the_log_of_a_run_is_deleted_with_it(client: PrefectClient, runs: Runs):
    run = runs.run(OURS, "RUNNING", "COMPLETED")
    runs.log(run)
    runs.run(OURS, "RUNNING", "COMPLETED")
    assert len(runs.logs(run)) == 1
    await delete_old_runs(client, [OURS], days=0)
    until(lambda: not runs.logs(run))


async def test_the_stored_result_of_a_run_is_deleted_with_it_and_no_other_file(
    client: PrefectClient, runs: Runs, tmp_path: Path
):
    storage, elsewhere = tmp_path / "storage", tmp_path / "elsewhere"
    for folder in (storage, elsewhere):
        folder.mkdir()
    kept, gone, others = elsewhere / "result", storage / "result", storage / "others"
    for path in (kept, gone, others):
        path.write_text("{}")
    for path in (gone, kept):
        runs.run(OURS, "RUNNING", returned(path))
    runs.run(OURS, "RUNNING", "COMPLETED")
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: storage}):
        assert await delete_old_runs(client, [OURS], days=0) == 2
    assert (gone.exists(), kept.exists(), others.exists()) == (False, True, True)


async def test_on_a_server_that_hearth_did_not_start_nothing_is_deleted(
    runs: Runs, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
):
    for _ in range(2):
        runs.run(OURS, "RUNNING", "COMPLETED")
    settings = Settings(home=tmp_path).model_copy(
        update={"retention": Settings().retention.model_copy(update={"runs_days": 0})}
    )
    assert await clean_prefect(settings, dry_run=False) == []
    monkeypatch.setattr(clean, "OTHERS", (OURS,))
    assert Tally(Kind.RUNS, 1, None) in await clean.clean_runs(settings, dry_run=True)
    assert OURS in OTHERS
