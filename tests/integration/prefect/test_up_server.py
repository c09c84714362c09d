"""The Prefect server of `hearth up` stays, restarts at its address, and records the ends of runs that it missed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.prefect.conftest import Engine
from tests.integration.prefect.hearth_up import Up, brought_up, left
from tests.support.commands import Hearth, PrefectServer
from tests.support.environment import clean
from tests.support.pdfs import ending_across, written
from tests.support.prefect_home import QUIET, prefect_server, seed
from tests.support.waiting import PATIENCE, until

pytestmark = [pytest.mark.timeout(1800), pytest.mark.long("brings up a server and a worker, and kills them")]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with brought_up(tmp_path_factory.mktemp("up"), HEARTH_IDLE_MINUTES="0.05") as up:
        yield up


def record(up: Up, name: str = "prefect") -> dict[str, Any]:
    (found,) = up.home.glob(f"servers/{name}-*/server.json")
    return json.loads(found.read_text())


def answers(up: Up) -> bool:
    try:
        return bool(up.get("/admin/version"))
    except (OSError, httpx.TransportError):
        return False


def test_status_shows_the_server_of_a_worker(up: Up):
    shown = " ".join(up.hearth("status").out.split())
    facts = json.loads(up.hearth("status", "--json").out)["servers"]
    (about,) = [each["about"] for each in facts if "about" in each]
    assert about.startswith(f"for {up.api} in ")
    assert f"for {up.api} in" in shown
    assert "in use" in shown


def test_the_automation_for_vanished_runs_is_created_and_stays_disabled_if_a_person_disabled_it(up: Up):
    (made,) = up.post("/automations/filter")
    assert made["name"] == "Hearth: a run vanished"
    up.ask("PATCH", f"/automations/{made['id']}", {"enabled": False})
    assert up.hearth("up").code == 0
    (again,) = up.post("/automations/filter")
    assert (again["id"], again["enabled"]) == (made["id"], False)


def test_a_killed_server_restarts_at_its_address_and_the_active_run_ends_normally(up: Up, tmp_path: Path):
    paper = ending_across(tmp_path / "long.pdf", *(f"{number} of many." for number in range(40)))
    run = up.run("process-document/on-demand", job={"document": str(paper), "output": str(tmp_path / "out")})
    until(lambda: list(tmp_path.glob("out/*/pages/*.json")))
    worker, killed = record(up, "worker"), record(up)
    os.kill(killed["server_pid"], signal.SIGKILL)
    until(lambda: list(up.home.glob("servers/prefect-*/server.json")) and record(up) != killed)
    assert record(up)["url"] == killed["url"]
    until(lambda: answers(up))
    assert up.ended(run)["state_name"] == "Completed"
    assert record(up, "worker") == worker
    assert list(up.home.glob("prefect-ends/*")) == []


@pytest.mark.long("waits for an idle time")
def test_the_server_stays_while_a_worker_uses_it_through_prefect_api_url(tmp_path: Path):
    """A worker in a shell with the variable set keeps it, too."""
    home = tmp_path / "up"
    with brought_up(home, HEARTH_IDLE_MINUTES="0.03") as up:
        named = replace(up.hearth, environment={**up.hearth.environment, "PREFECT_API_URL": up.api})
        for record_ in sorted(home.glob("servers/worker-*/server.json")):
            os.kill(json.loads(record_.read_text())["watchdog_pid"], signal.SIGTERM)
            until(lambda record_=record_: not record_.exists())
        assert named("up").code == 0
        held = record(up)
        assert held["idle_since"] is None or until(lambda: record(up)["idle_since"] is None)
        with pytest.raises(AssertionError):
            until(lambda: record(up)["server_pid"] != held["server_pid"] or not answers(up), seconds=6)


@pytest.mark.long("starts a server anew")
def test_a_worker_ends_when_its_server_is_stopped_and_the_next_server_has_the_same_address(tmp_path: Path):
    with brought_up(tmp_path / "up") as up:
        name = next((tmp_path / "up").glob("servers/prefect-*")).name
        stopped = up.hearth("stop", name, "--force")
        assert stopped.code == 0, stopped.err
        until(lambda: left(up.home) == [], every=0.2)
        assert up.hearth("status").out.strip() == "No server is warm."
        again = up.hearth("up")
        assert (again.code, again.out) == (0, up.told), again.err


class TestServerOfAnotherOwner:
    """One that PREFECT_API_URL names and that Hearth did not start is not started again by Hearth."""

    @pytest.mark.long("waits until a server is given up")
    def test_a_run_that_ended_while_the_server_was_away_gets_its_final_state_later(self, serving: Any, tmp_path: Path):
        home = seed(tmp_path / "prefect")
        environment = {**clean(), **QUIET, "PREFECT_HOME": str(home)}
        gate = tmp_path / "gate"
        engine: Engine = serving("echo", gate=gate)
        own = {"HEARTH_HOME": str(tmp_path / "home"), **engine.settings}
        paper = ending_across(tmp_path / "paper.pdf", "One.", "Two.", "Three.")
        with prefect_server(home, environment) as (api, server):
            hearth = Hearth(tmp_path, {**environment, **own, "PREFECT_API_URL": api})
            reading = hearth.start("read", paper)
            until(lambda: list(tmp_path.glob("results/*/pages/*.json")))
            os.killpg(server.pid, signal.SIGKILL)
            gate.touch()
            _, err = reading.communicate(timeout=PATIENCE)
            assert reading.returncode == 0, err
            assert "may show this run as still running until the server is back" in err
        assert len(list(tmp_path.glob("home/prefect-ends/*.json"))) == 1
        port = api.rpartition(":")[2].partition("/")[0]
        with prefect_server(home, environment, int(port)) as (api, server):
            asked = PrefectServer(api, server.pid)
            assert [run["state_name"] for run in asked("flow_runs")] == ["Running"]
            another = hearth.read(written(tmp_path / "another.pdf", "Four."))
            assert another.code == 0, another.err
            states = {run["name"]: run["state_name"] for run in asked("flow_runs")}
            assert states == {"paper, all pages": "Completed", "another, all pages": "Completed"}
        assert list(tmp_path.glob("home/prefect-ends/*")) == []
