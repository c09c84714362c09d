"""A Prefect server and a worker as processes that a test may kill and start again, with the deployment `on-demand`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tasks.local_server import free_port
from tests.commands import ROOT, Hearth
from tests.flows.test_up import Up
from tests.flows.web_backend import wait

PREFECT = [sys.executable, "-m", "prefect"]
SERVER = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
WORKER = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}


@dataclass
class Processes(Up):
    """They, and what a person does with runs in the UI: its very requests."""

    environment: dict[str, str] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start the `server` or the `worker`, and wait until it is there."""
        command = {
            "server": ("server", "start", "--host", "127.0.0.1", "--port", self.api.rpartition(":")[2].split("/")[0]),
            "worker": ("worker", "start", "--pool", "hearth", "--type", "process"),
        }[name]
        with (self.home / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [*PREFECT, *command],
                cwd=self.home,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait({"server": self._serves, "worker": self._works}[name])

    def kill(self, name: str, *, group: bool = True) -> None:
        """`kill -9` it, and what it started if `group`."""
        process = self.running.pop(name)
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.wait()

    def begin(self, document: Path, output: Path, **options: Any) -> str:
        """Have it read, and wait until a few pages are."""
        job = {"document": str(document), "output": str(output), **options}
        run = self.asked("process-document/on-demand", job=job)
        wait(lambda: len(pages(output)) >= 3)
        return run

    def asked(self, name: str, **parameters: Any) -> str:
        """Have a deployment run. On SQLite Prefect answers 503 now and then; the key makes asking again harmless."""
        key = uuid4().hex
        for _ in range(5):
            with suppress(httpx.HTTPStatusError):
                return self.run(name, key=key, **parameters)
            time.sleep(1)
        return self.run(name, key=key, **parameters)

    def set_state(self, run: str, **state: Any) -> None:
        """As the UI does."""
        answer = self.post(f"/flow_runs/{run}/set_state", state=state)
        assert answer["status"] == "ACCEPT", answer

    def cancel(self, run: str) -> None:
        self.set_state(run, type="CANCELLING", name="Cancelling")

    def suspend(self, run: str) -> None:
        limit = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
        details = {"pause_timeout": limit, "pause_reschedule": True}
        self.set_state(run, type="PAUSED", name="Suspended", state_details=details)

    def resume(self, run: str) -> None:
        answer = self.post(f"/flow_runs/{run}/resume")
        assert answer["status"] == "ACCEPT", answer

    def retry(self, run: str) -> None:
        self.set_state(run, type="SCHEDULED", name="AwaitingRetry", message="Retry from the UI")

    def state(self, run: str) -> str:
        """The name of a run's state."""
        return self.get(f"/flow_runs/{run}")["state_name"]

    def tasks(self, run: str) -> dict[str, str]:
        """The states of a run's task runs, by their names; of those of one name the last."""
        found = self.post("/task_runs/filter", flow_runs={"id": {"any_": [run]}}, sort="EXPECTED_START_TIME_ASC")
        return {task["name"]: task["state_name"] for task in found}

    def _serves(self) -> bool:
        assert self.running["server"].poll() is None, (self.home / "server.log").read_text()
        try:
            return httpx.get(f"{self.api}/health").is_success
        except httpx.TransportError:
            return False

    def _works(self) -> bool:
        found = self.post("/work_pools/hearth/workers/filter") if self._has_pool() else []
        return any(worker["status"] == "ONLINE" for worker in found)

    def _has_pool(self) -> bool:
        return httpx.get(f"{self.api}/work_pools/hearth").is_success


@contextmanager
def prefect_processes(home: Path, **settings: str) -> Iterator[Processes]:
    """A server and a worker with these settings of Hearth's."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HEARTH_", "PREFECT_"))}
    api = f"http://127.0.0.1:{free_port()}/api"
    environment = {
        **{**clean, **SERVER, **WORKER, **settings, "PREFECT_API_URL": api},
        **{"PREFECT_HOME": str(home / "prefect"), "HEARTH_HOME": str(home)},
    }
    processes = Processes(home, api, environment)
    try:
        processes.start("server")
        processes.start("worker")
        for name in ("on-demand", "sweep-machines"):
            deploy = [*PREFECT, "--no-prompt", "deploy", "--name", name]
            done = subprocess.run(deploy, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        yield processes
    finally:
        for name in list(processes.running):
            processes.kill(name)
        Hearth(ROOT, environment)("stop", "--force")


def pages(output: Path) -> list[Path]:
    """The pages that are stored of whatever was read there."""
    return sorted(output.glob("*/pages/*.json"))


def quiet(output: Path, seconds: float = 2.0) -> int:
    """How many pages are stored, when no more come."""
    seen = -1
    while (now := len(pages(output))) != seen:
        seen = now
        time.sleep(seconds)
    return seen
