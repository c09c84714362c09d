"""`hearth up`: a server, the deployments of prefect.yaml and a worker that runs them, until `hearth down`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psutil
import pytest

from tests.commands import ROOT, Hearth
from tests.pdfs import written

FINAL = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}


@dataclass
class Up:
    """What is up."""

    home: Path
    api: str

    def get(self, path: str) -> Any:
        return httpx.get(self.api + path).raise_for_status().json()

    def post(self, path: str, **body: Any) -> Any:
        return httpx.post(self.api + path, json=body, timeout=30).raise_for_status().json()

    def deployment(self, name: str) -> dict[str, Any]:
        return self.get(f"/deployments/name/{name}")

    def run(self, name: str, *, key: str | None = None, **parameters: Any) -> str:
        deployment = self.deployment(name)["id"]
        return self.post(f"/deployments/{deployment}/create_flow_run", parameters=parameters, idempotency_key=key)["id"]

    def ended(self, run: str, seconds: float = 90) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while (found := self.get(f"/flow_runs/{run}"))["state_type"] not in FINAL:
            assert time.monotonic() < deadline, found["state"]
            time.sleep(0.5)
        return found


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    import os

    home = tmp_path_factory.mktemp("up")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEARTH_", "PREFECT_"))}
    settings = {
        "HEARTH_HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "HEARTH_INBOX": str(home / "inbox"),
        "HEARTH_OUTPUT": str(home / "results"),
        "HEARTH_BACKEND": "embedded",
    }
    hearth = Hearth(ROOT, {**clean, **settings})
    done = hearth("up")
    assert done.code == 0, done.err
    again = hearth("up")
    assert again.out == done.out, again.err
    (record,) = home.glob("servers/prefect-*/server.json")
    yield Up(home, json.loads(record.read_text())["url"] + "/api")
    assert hearth("down").out.count(" has stopped.") == 2
    hearth("stop", "--force")
    deadline = time.monotonic() + 30
    while (found := left(home)) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert found == []


def left(home: Path) -> list[str]:
    """Command lines of processes that have this HEARTH_HOME."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("HEARTH_HOME") == str(home):
                found.append(" ".join(process.cmdline()))
    return found


@pytest.fixture
def paper(up: Up, tmp_path: Path) -> Path:
    return written(tmp_path / "paper.pdf", "One.", "Two.")


def test_every_deployment_is_there_with_tags_and_a_description(up: Up):
    found = up.post("/deployments/filter")
    assert {each["name"] for each in found} == {"on-demand", "nightly", "idle-shutdown", "sweep-machines"}
    assert all(each["description"] and "hearth" in each["tags"] for each in found)


def test_the_form_has_a_title_and_a_description_for_every_field(up: Up):
    for name in ("process-document/on-demand", "process-batch/nightly"):
        schema = up.deployment(name)["parameter_openapi_schema"]
        fields = [field for model in schema["definitions"].values() for field in model.get("properties", {}).items()]
        assert len(fields) > 10
        assert [name for name, field in fields if not (field.get("title") and field.get("description"))] == []


def test_the_nightly_batch_is_scheduled_at_half_past_one_in_berlin(up: Up):
    deadline = time.monotonic() + 60
    runs: list[dict[str, Any]] = []
    while not runs and time.monotonic() < deadline:
        runs = up.post("/flow_runs/filter", flows={"name": {"any_": ["process-batch"]}})
        time.sleep(0.5)
    from datetime import datetime

    times = {datetime.fromisoformat(run["expected_start_time"]).astimezone(ZoneInfo("Europe/Berlin")) for run in runs}
    assert {(at.hour, at.minute) for at in times} == {(1, 30)}


def test_the_worker_runs_what_is_asked_for_and_two_alike_requests_make_one_run(up: Up, paper: Path):
    job = {"document": str(paper), "output": str(up.home / "mine")}
    first, second = (up.run("process-document/on-demand", key="paper", job=job) for _ in range(2))
    assert first == second
    run = up.ended(first)
    assert (run["state_name"], run["name"]) == ("Completed", "paper, all pages")
    assert list((up.home / "mine").glob("paper-*/document.md"))


def test_a_parameter_that_is_wrong_is_refused(up: Up):
    with pytest.raises(httpx.HTTPStatusError, match=r"409|422"):
        up.run("process-document/on-demand", job={"document": "/a.pdf", "slots": 0})


def test_the_nightly_batch_reads_the_inbox(up: Up):
    (up.home / "inbox").mkdir(exist_ok=True)
    written(up.home / "inbox" / "tonight.pdf", "Tonight.")
    run = up.ended(up.run("process-batch/nightly"))
    assert (run["state_name"], run["name"]) == ("Completed", "batch of the inbox")
    assert list((up.home / "results").glob("tonight-*/document.md"))


def test_a_run_that_is_cancelled_keeps_its_pages_and_gives_its_slots_back(up: Up, tmp_path: Path):
    long = written(tmp_path / "long.pdf", *(f"Page {number} of many." for number in range(150)))
    output = up.home / "cancelled"
    run = up.run("process-document/on-demand", job={"document": str(long), "output": str(output)})
    deadline = time.monotonic() + 90
    while len(list(output.glob("long-*/pages/*.json"))) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    up.post(f"/flow_runs/{run}/set_state", state={"type": "CANCELLING"})
    assert up.ended(run, 60)["state_type"] == "CANCELLED"
    pages = len(list(output.glob("long-*/pages/*.json")))
    assert 3 <= pages < 150
    claims = [json.loads(ledger.read_text())["claims"] for ledger in up.home.glob("slots/*.json")]
    assert claims
    assert not any(claims)
    time.sleep(3)
    assert len(list(output.glob("long-*/pages/*.json"))) == pages


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_cron_schedule_really_runs(up: Up):
    deployment = up.deployment("process-batch/nightly")["id"]
    schedule = {"schedule": {"cron": "* * * * *", "timezone": "Europe/Berlin"}, "active": True}
    made = httpx.post(f"{up.api}/deployments/{deployment}/schedules", json=[schedule]).raise_for_status().json()
    try:
        deadline = time.monotonic() + 240
        done: list[dict[str, Any]] = []
        while not done and time.monotonic() < deadline:
            done = up.post(
                "/flow_runs/filter",
                deployments={"id": {"any_": [deployment]}},
                flow_runs={"state": {"type": {"any_": ["COMPLETED"]}}, "tags": {"all_": ["auto-scheduled"]}},
            )
            time.sleep(1)
        assert done
    finally:
        httpx.delete(f"{up.api}/deployments/{deployment}/schedules/{made[0]['id']}").raise_for_status()
