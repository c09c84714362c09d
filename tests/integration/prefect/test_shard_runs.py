"""A batch that several runs share, on a real server with two workers; tests hold each document's last page back."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.prefect.conftest import Engine, serve
from tests.integration.prefect.hearth_up import Up, brought_up, processes
from tests.support.pdfs import ending_across
from tests.support.waiting import until

pytestmark = [pytest.mark.long("starts Prefect and workers"), pytest.mark.timeout(1800)]

# A page that a test holds back is no page that hangs.
PATIENT = dict.fromkeys(("HEARTH_READ__TIMEOUT_SECONDS", "HEARTH_READ__TIMEOUT_LEAST_SECONDS"), "1800")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    directory = tmp_path_factory.mktemp("engine")
    with serve(directory, "echo", 4, {"seconds": 0.3, "gate": directory / "gate"}) as engine:
        yield engine


@pytest.fixture
def gate(engine: Engine) -> Path:
    """The last page of each document is read when this exists."""
    gate = engine.log.with_name("gate")
    gate.unlink(missing_ok=True)
    return gate


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Up]:
    """Two workers: the one that `hearth up` starts, and another."""
    with brought_up(tmp_path_factory.mktemp("up"), **engine.settings, **PATIENT, HEARTH_BACKEND="url") as up:
        environment = {**up.hearth.environment, "PREFECT_API_URL": up.api}
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "flows.local.worker"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as second:
            try:
                until(lambda: len(up.post("/work_pools/hearth/workers/filter")) == 2)
                yield up
            finally:
                second.terminate()


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """Eight documents of 4 to 18 pages, 88 in all."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    for number in range(8):
        name = f"{tmp_path.name}-{number}"
        ending_across(folder / f"{name}.pdf", *(f"Page {page} of {name}." for page in range(4 + 2 * number)))
    return folder


def started(up: Up, inbox: Path, output: Path, **changes: Any) -> str:
    asked = {"sources": [str(inbox)], "output": str(output), "workers": 3, "worker_pages": 10, **changes}
    return up.run("process-batch/on-demand", batch=asked)


def parts(up: Up, run: str) -> list[dict[str, Any]]:
    """The runs that the batch's run asked for."""
    children: list[dict[str, Any]] = up.post(
        "/flow_runs/filter", flow_runs={"parent_flow_run_id": {"any_": [run]}}, sort="NAME_ASC"
    )
    assert all(child["parent_task_run_id"] for child in children)
    return children


def report(output: Path) -> list[dict[str, str]]:
    newest = max((output / "batches").glob("*.csv"))
    return list(csv.DictReader(newest.read_text().splitlines()))


def pages(output: Path) -> int:
    return len(list(output.glob("*/pages/*.json")))


def running(up: Up, run: str, output: Path) -> list[str]:
    """The parts, once both are under way and some pages are stored."""
    until(lambda: len([each for each in parts(up, run) if each["state_type"] == "RUNNING"]) == 2 and pages(output) > 3)
    return [each["id"] for each in parts(up, run)]


def test_three_runs_read_each_document_once_and_write_one_report(
    up: Up, engine: Engine, gate: Path, inbox: Path, tmp_path: Path
):
    run = started(up, inbox, output := tmp_path / "out")
    running(up, run, output)
    gate.touch()
    assert up.ended(run)["state_name"] == "Completed"
    children = parts(up, run)
    assert [child["state_name"] for child in children] == ["Completed"] * 2
    rows = report(output)
    assert len({row["document"] for row in rows}) == len(rows) == 8
    assert sum(int(row["read_now"]) for row in rows) == pages(output) == 88
    texts = [json.loads(page.read_text())["text"] for page in output.glob("*/pages/*.json")]
    assert {engine.read[text] for text in texts} == {1}
    again = up.ended(started(up, inbox, output))
    assert (again["state_name"], parts(up, again["id"])) == ("Completed", [])


def test_the_batchs_own_run_reads_parts_that_no_worker_has_begun(up: Up, gate: Path, inbox: Path, tmp_path: Path):
    gate.touch()
    up.ask("PATCH", "/work_pools/hearth", {"concurrency_limit": 1})
    try:
        run = started(up, inbox, output := tmp_path / "out")
        assert up.ended(run)["state_name"] == "Completed"
    finally:
        up.ask("PATCH", "/work_pools/hearth", {"concurrency_limit": None})
    assert [child["state_type"] for child in parts(up, run)] == ["CANCELLED"] * 2
    assert [row["status"] for row in report(output)] == ["read"] * 8
    assert pages(output) == 88


def test_a_part_whose_process_is_killed_is_reported_and_left_for_the_next_batch(
    up: Up, gate: Path, inbox: Path, tmp_path: Path
):
    run = started(up, inbox, output := tmp_path / "out")
    killed, other = running(up, run, output)
    for process in processes("PREFECT__FLOW_RUN_ID", killed):
        process.kill()
    gate.touch()
    assert up.ended(run)["state_name"] == "Stopped"
    assert (up.ended(killed)["state_type"], up.ended(other)["state_name"]) == ("CRASHED", "Completed")
    left = [row for row in report(output) if row["status"] == "left"]
    assert left
    assert all("The next batch goes on with it" in row["why"] for row in left)
    assert up.ended(started(up, inbox, output))["state_name"] == "Completed"
    assert pages(output) == 88


def test_a_batch_that_is_cancelled_cancels_its_parts_and_the_next_completes_it(
    up: Up, gate: Path, inbox: Path, tmp_path: Path
):
    run = started(up, inbox, output := tmp_path / "out")
    children = running(up, run, output)
    up.cancel(run)
    until(lambda: up.state(run) == "Cancelled")
    # Its process may say that it crashed, before the worker says why.
    until(lambda: [up.state(child) for child in children] == ["Cancelled"] * 2)
    until(lambda: not any(processes("PREFECT__FLOW_RUN_ID", child) for child in children))
    until(lambda: not any(processes("PREFECT__FLOW_RUN_ID", run)))
    assert pages(output) < 88
    gate.touch()
    assert up.ended(started(up, inbox, output))["state_name"] == "Completed"
    assert pages(output) == 88


def test_budget_and_deadline_are_divided_among_the_parts(up: Up, gate: Path, inbox: Path, tmp_path: Path):
    run = started(up, inbox, output := tmp_path / "out", max_minutes=0.2)
    until(lambda: pages(output) or up.state(run) == "Stopped")
    time.sleep(0.2 * 60)  # it began before the first page: its time is over
    gate.touch()
    assert up.ended(run)["state_name"] == "Stopped"
    rows = report(output)
    assert len(rows) == 8
    assert "left" in {row["status"] for row in rows}
    assert pages(output) < 88
