"""`hearth up`: a server, the deployments of prefect.yaml and a worker that runs them, until `hearth down`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx
import psutil
import pytest
import yaml

from tests.integration.prefect.hearth_up import Up, brought_up, processes
from tests.support.commands import ROOT
from tests.support.pdfs import written
from tests.support.waiting import until

SCHEDULED = {"flow_runs": {"tags": {"all_": ["auto-scheduled"]}, "state": {"type": {"any_": ["SCHEDULED"]}}}}
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with brought_up(tmp_path_factory.mktemp("up")) as up:
        yield up


@pytest.fixture
def paper(up: Up, tmp_path: Path) -> Path:
    return written(tmp_path / "paper.pdf", "One.", "Two.")


def test_every_deployment_of_the_file_exists_with_tags_description_and_limit(up: Up):
    found = up.post("/deployments/filter")
    assert len(found) == len(DEPLOYMENTS) == 6
    assert all(each["description"] and "hearth" in each["tags"] for each in found)
    limits = {each["name"]: (each["global_concurrency_limit"] or {}).get("limit") for each in found}
    assert limits == {
        "on-demand": 8,
        **dict.fromkeys(("nightly", "sweep-machines", "plan-costs", "idle-shutdown")),
    }


@pytest.mark.long("brings it up once more: 16 s")
def test_a_second_up_changes_only_limits_of_an_earlier_version(up: Up):
    limited = ("process-batch/nightly", "sweep-machines/sweep-machines")
    before = {"concurrency_limit": 1, "concurrency_options": {"collision_strategy": "CANCEL_NEW"}}
    for name in limited:
        up.ask("PATCH", f"/deployments/{up.deployment(name)['id']}", before)
    again = up.hearth("up")
    assert (again.code, again.out) == (0, up.told), again.err
    assert {name: up.deployment(name)["global_concurrency_limit"] for name in limited} == dict.fromkeys(limited)


def test_the_server_stores_slot_leases_and_deletes_leftovers_of_deleted_runs(up: Up):
    settings = up.get("/admin/settings")["server"]
    assert settings["concurrency"]["lease_storage"].endswith(".filesystem")
    assert set(settings["services"]["db_vacuum"]["enabled"]) == {"events", "orphans"}


@pytest.mark.long("another run of the command: 5 s")
def test_hearth_clean_shows_and_deletes_expired_runs(up: Up):
    """No run in Prefect is that old here; test_old_runs covers the deletion of old runs."""
    copy = up.home / "copies" / "left.pdf"
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(b"%PDF")
    os.utime(copy, (0, 0))
    shown = up.hearth("clean", "--dry-run", "--json")
    gone = {"what": "copies of documents of killed runs", "count": 1, "bytes": 4}
    assert json.loads(shown.out) == {"dry_run": True, "expired": [gone]}, shown.err
    assert copy.exists()
    assert json.loads(up.hearth("clean", "--json").out)["expired"] == [gone]
    assert not copy.exists()
    assert up.hearth("clean").out == "Nothing has expired.\n"


def test_the_nightly_batch_is_scheduled_at_half_past_one_in_berlin(up: Up):
    runs = until(lambda: up.post("/flow_runs/filter", flows={"name": {"any_": ["process-batch"]}}, **SCHEDULED))
    times = {datetime.fromisoformat(run["expected_start_time"]).astimezone(ZoneInfo("Europe/Berlin")) for run in runs}
    assert {(at.hour, at.minute) for at in times} == {(1, 30)}


def test_the_worker_runs_requests_and_two_equal_ones_create_one_run(up: Up, paper: Path):
    job = {"document": str(paper), "output": str(up.home / "mine")}
    first, second = (up.run("process-document/on-demand", key="paper", job=job) for _ in range(2))
    assert first == second
    run = up.ended(first)
    assert (run["state_name"], run["name"]) == ("Completed", "paper, all pages")
    assert list((up.home / "mine").glob("paper-*/document.md"))


def test_a_wrong_parameter_is_refused(up: Up):
    with pytest.raises(httpx.HTTPStatusError, match=r"409|422"):
        up.run("process-document/on-demand", job={"document": "/a.pdf", "slots": 0})


@pytest.mark.long("another run of a worker: 19 s")
def test_the_nightly_batch_reads_the_inbox(up: Up):
    (up.home / "inbox").mkdir(exist_ok=True)
    written(up.home / "inbox" / "tonight.pdf", "Tonight.")
    run = up.ended(up.run("process-batch/nightly"))
    assert (run["state_name"], run["name"]) == ("Completed", "batch of the inbox")
    assert list((up.home / "results").glob("tonight-*/document.md"))


@pytest.mark.long("reads a long document")
def test_a_cancelled_run_keeps_its_pages_and_releases_its_slots(up: Up, tmp_path: Path):
    long = written(tmp_path / "long.pdf", *(f"Page {number} of many." for number in range(150)))
    output = up.home / "cancelled"
    run = up.run("process-document/on-demand", job={"document": str(long), "output": str(output)})
    until(lambda: len(list(output.glob("long-*/pages/*.json"))) >= 3)
    up.cancel(run)
    # Its process may say that it crashed, before the worker says why.
    until(lambda: up.state(run) == "Cancelled")
    pages = len(list(output.glob("long-*/pages/*.json")))
    assert 3 <= pages < 150
    claims = [json.loads(ledger.read_text())["claims"] for ledger in up.home.glob("slots/*.json")]
    assert claims
    assert not any(claims)
    # Whoever could store another page has ended; a server that the run started stays warm.
    until(lambda: all("embedded" in " ".join(each.cmdline()) for each in processes("PREFECT__FLOW_RUN_ID", run)))
    assert len(list(output.glob("long-*/pages/*.json"))) == pages


@pytest.mark.long("another run of a worker")
def test_a_relative_path_is_relative_to_the_workers_directory(up: Up):
    assert up.deployment("process-document/on-demand")["pull_steps"] == []
    run = up.ended(up.run("process-document/on-demand", job={"document": "README.md"}))
    assert "README.md is not a PDF" in run["state"]["message"]


@pytest.mark.long("another run of a worker")
def test_without_aws_the_sweep_does_nothing(up: Up):
    run = up.ended(up.run("sweep-machines/sweep-machines"))
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Skipped")


@pytest.mark.long("another run of a worker; test_plan_costs has the flow")
def test_the_flow_plan_costs_runs(up: Up):
    run = up.ended(up.run("plan-costs/plan-costs", request={"pages": 50}))
    assert run["state_name"] == "Completed"


@pytest.mark.long("reads a long document")
def test_a_concurrent_second_nightly_run_is_skipped(up: Up, tmp_path: Path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    written(inbox / "long.pdf", *(f"Page {number}." for number in range(60)))
    parameters = {"batch": {"sources": [str(inbox)], "output": str(up.home / "alone")}}
    first = up.run("process-batch/nightly", **parameters)
    until(lambda: list((up.home / "alone").glob("long-*/pages/*.json")))
    (record,) = up.home.glob("servers/embedded-*/server.json")
    server = psutil.Process(json.loads(record.read_text())["server_pid"])
    server.suspend()  # so that the first run is still reading
    try:
        second = up.ended(up.run("process-batch/nightly", **parameters))
    finally:
        server.resume()
    assert (second["state_type"], second["state_name"]) == ("COMPLETED", "Skipped")
    assert up.ended(first)["state_name"] == "Completed"
    assert len(list((up.home / "alone" / "batches").glob("*.csv"))) == 1


@pytest.mark.long("reads documents in turn")
@pytest.mark.parametrize("name", ["process-document/on-demand", "process-batch/on-demand"])
def test_on_demand_runs_wait_for_the_concurrency_limit(up: Up, name: str, tmp_path: Path):
    """With the strategy ENQUEUE and a limit of one, the second run waits, and completes after the first."""
    deployment = up.deployment(name)["id"]

    def limited(most: int) -> None:
        change = {"concurrency_limit": most, "concurrency_options": {"collision_strategy": "ENQUEUE"}}
        up.ask("PATCH", f"/deployments/{deployment}", change)

    runs = []
    limited(1)
    try:
        for number in range(2):
            pdf = written(tmp_path / f"{number}.pdf", *(f"Page {page} of {number}." for page in range(20)))
            place = {"output": str(up.home / f"queued-{number}")}
            asked = {"job": {"document": str(pdf), **place}, "batch": {"sources": [str(pdf)], **place}}
            wanted = "job" if "document" in name else "batch"
            runs.append(up.run(name, **{wanted: asked[wanted]}))
            until(lambda: up.state(runs[0]) not in {"Scheduled", "Late"})
        until(lambda: up.state(runs[1]) == "AwaitingConcurrencySlot")
        first, second = (up.ended(run) for run in runs)
    finally:
        limited(8)
    assert first["state_name"] == second["state_name"] == "Completed"
    assert second["start_time"] >= first["end_time"]


@pytest.mark.long("waits for a minute to begin")
def test_a_cron_schedule_starts_runs(up: Up):
    (up.home / "inbox").mkdir(exist_ok=True)
    written(up.home / "inbox" / "every-minute.pdf", "Every minute.")
    deployment = up.deployment("process-batch/nightly")["id"]
    schedule = {"schedule": {"cron": "* * * * *", "timezone": "Europe/Berlin"}, "active": True}
    made = up.ask("POST", f"/deployments/{deployment}/schedules", [schedule])
    try:
        wanted = {
            "deployments": {"id": {"any_": [deployment]}},
            "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}, "tags": {"all_": ["auto-scheduled"]}},
        }
        until(lambda: up.post("/flow_runs/filter", **wanted), every=1.0)
    finally:
        up.ask("DELETE", f"/deployments/{deployment}/schedules/{made[0]['id']}")
