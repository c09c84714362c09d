"""The deployments of prefect.yaml on a real server, run by a real worker."""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.integration.prefect.hearth_up import Server
from tests.integration.prefect.prefect_processes import pages
from tests.support import forkserver
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.plan import Plan
from tests.support.aws.pool import Pool, end_leases
from tests.support.commands import ROOT, Hearth, PrefectServer
from tests.support.pdfs import written
from tests.support.prefect_home import fork_runs
from tests.support.waiting import PATIENCE, until

DEPLOYED = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]


@pytest.mark.parametrize("entrypoint", [each["entrypoint"] for each in DEPLOYED])
def test_every_entrypoint_is_a_flow(entrypoint: str):
    """`prefect deploy` hides a failed import behind a placeholder."""
    from prefect import Flow

    module, _, name = entrypoint.rpartition(".")
    assert isinstance(getattr(importlib.import_module(module), name), Flow)


@pytest.fixture
def deployed(hearth: Hearth, prefect: PrefectServer, aws: AwsFront, tmp_path: Path) -> Iterator[Hearth]:
    """The command, over a Prefect server with the deployments and a worker."""
    settings = {
        "HEARTH_BACKEND": "ec2",
        "HEARTH_MODEL": "tesseract:eng",
        "HEARTH_IDLE_MINUTES": "0.1",
        "HEARTH_EC2__POLL_SECONDS": "0.2",
        "HEARTH_EC2__LEASE_SECONDS": "36000",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    command = Hearth(hearth.directory, {**hearth.environment, **aws.environment, **settings})
    _prefect(command, "work-pool", "create", "hearth", "--type", "process", "--overwrite")
    fork_runs(prefect.api)
    _prefect(command, "--no-prompt", "deploy", "--all", directory=ROOT)
    log = tmp_path / "worker.log"
    with log.open("wb") as out:
        arguments = ("prefect", "worker", "start", "--pool", "hearth")
        worker = forkserver.start(
            *arguments, cwd=tmp_path, env=command.environment, stdout=out, stderr=out, new_session=True
        )
    try:
        yield command
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        worker.wait(PATIENCE)


def _prefect(hearth: Hearth, *arguments: str, directory: Path | None = None) -> None:
    forkserver.run("prefect", *arguments, cwd=directory or hearth.directory, env=hearth.environment)


def runs(prefect: PrefectServer, name: str) -> list[dict[str, Any]]:
    return prefect("flow_runs", flows={"name": {"any_": [name]}})


@pytest.mark.long("waits for a machine, a worker and an idle time; test_shutdown_schedule has the looks")
def test_the_machine_of_a_run_is_stopped_after_the_idle_time(
    deployed: Hearth, prefect: PrefectServer, pool: Pool, machines: Machines, tmp_path: Path
):
    # Their looks are hours away: none is under way or done before it is looked at here.
    first = deployed.read(written(tmp_path / "a.pdf", "One."), HEARTH_IDLE_MINUTES="600")
    before = datetime.now(UTC)
    second = deployed.read(written(tmp_path / "b.pdf", "Two."), HEARTH_IDLE_MINUTES="600")
    after = datetime.now(UTC)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    (machine,) = machines.running()
    looks = [run for run in runs(prefect, "idle-shutdown") if machine in str(run["parameters"])]
    assert sorted(run["state_type"] for run in looks) == ["CANCELLED", "SCHEDULED"]
    (look,) = (run for run in looks if run["state_type"] == "SCHEDULED")
    at = datetime.fromisoformat(look["expected_start_time"])
    assert before - timedelta(seconds=1) <= at - timedelta(hours=10) <= after + timedelta(seconds=1)
    # The idle time is over, and so is that of the model; it is the worker's own, six seconds, that the look goes by.
    unload = {"model": "tesseract:eng", "keep_alive": 0}
    httpx.post(f"{machines[machine].url}/api/generate", json=unload, timeout=PATIENCE).raise_for_status()
    now = {"type": "SCHEDULED", "state_details": {"scheduled_time": datetime.now(UTC).isoformat()}}
    prefect.ask("POST", f"flow_runs/{look['id']}/set_state", json={"state": now, "force": True})
    machines.wait(lambda: machines.running() == [])
    assert machines.instances()[machine].state in {"shutting-down", "terminated"}


@pytest.mark.long("waits for a worker and the sweep")
def test_the_sweep_ends_the_machine_of_a_killed_run(
    deployed: Hearth, aws: AwsFront, pool: Pool, machines: Machines, tmp_path: Path
):
    machines.plan = Plan(engine_s=1)
    run = deployed.start("read", written(tmp_path / "a.pdf", *map(str, range(50))))
    machine = machines.one()
    machines.wait(lambda: machine.read)
    run.kill()
    run.communicate()
    end_leases(aws, machine.id)
    _prefect(deployed, "deployment", "run", "sweep-machines/sweep-machines")

    def swept() -> bool:
        if not (done := machines.running() == []):  # idle times may not have been over when the last one looked
            _prefect(deployed, "deployment", "run", "sweep-machines/sweep-machines")
        return done

    until(swept, every=4)


@pytest.mark.long("waits for a worker and a machine's end")
def test_a_run_cancelled_in_prefect_returns_its_lease_and_its_machine_stops(
    deployed: Hearth, prefect: PrefectServer, aws: AwsFront, pool: Pool, machines: Machines, tmp_path: Path
):
    machines.plan = Plan(engine_s=5)
    server = Server(tmp_path, prefect.api)
    job = {"document": str(written(tmp_path / "a.pdf", *map(str, range(80)))), "output": str(tmp_path / "out")}
    run = server.run("process-document/on-demand", job=job)
    machine = machines.one()
    machines.wait(lambda: len(pages(tmp_path / "out")) >= 3)
    server.cancel(run)
    assert server.ended(run)["state_name"] == "Cancelled"
    item = aws.behind("dynamodb").get_item(TableName="hearth-default", Key={"id": {"S": machine.id}})["Item"]
    assert item["leases"]["M"] == {}
    machines.wait(lambda: machines.running() == [])
    assert 3 <= len(pages(tmp_path / "out")) < 80


@pytest.mark.long("starts a server and a worker: 13 s")
def test_the_sweep_is_scheduled_repeatedly(deployed: Hearth, prefect: PrefectServer):
    until(lambda: len(runs(prefect, "sweep-machines")) >= 2, every=1)
