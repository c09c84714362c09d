"""A Prefect server, a worker and a page server as processes that a test may kill and start again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from tasks.ollama.address import free_port
from tests.integration.prefect.hearth_up import Server
from tests.support import forkserver
from tests.support.commands import ROOT
from tests.support.environment import clean
from tests.support.forked_process import Process
from tests.support.prefect_home import seed
from tests.support.waiting import until

SERVER = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
WORKER = {"PREFECT_WORKER_QUERY_SECONDS": "1", "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}


@dataclass
class Processes(Server):
    """They, and what a person does with runs in the UI: its very requests."""

    environment: dict[str, str] = field(default_factory=dict)
    running: dict[str, Process] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start the Prefect `server`, the `worker` or the `engine`, and wait until it is there."""
        engine = ("--num-parallel", "2", "--engine", "tests.integration.prefect.engines:echo")
        command = {
            "server": ("prefect", "server", "start", "--host", "127.0.0.1", "--port", _port(self.api)),
            "worker": ("prefect", "worker", "start", "--pool", "hearth", "--type", "process"),
            "engine": ("tasks.embedded", "--port", _port(self.environment["HEARTH_URL"]), *engine),
        }[name]
        with (self.home / f"{name}.log").open("ab") as log:
            self.running[name] = forkserver.start(
                *command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, new_session=True
            )
        health = {"server": f"{self.api}/health", "engine": f"{self.environment['HEARTH_URL']}/api/version"}
        until(self._works if name == "worker" else lambda: self._answers(name, health[name]))

    def kill(self, name: str, *, children: bool = True) -> None:
        """`kill -9` it, and what it started if `children`: a worker's runs have sessions of their own."""
        process = self.running.pop(name)
        started = psutil.Process(process.pid).children(recursive=True) if children else []
        process.kill()
        for child in started:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait()

    def begin(self, document: Path, output: Path, **options: Any) -> str:
        """Have it read, and wait until a few pages are."""
        job = {"document": str(document), "output": str(output), **options}
        run = self.run("process-document/on-demand", job=job)
        until(lambda: len(pages(output)) >= 3)
        return run

    def hold(self) -> None:
        """Do not read pages in landscape from now on."""
        (self.home / "gate").unlink(missing_ok=True)

    def let_go(self) -> None:
        """Read them."""
        (self.home / "gate").touch()

    def suspend(self, run: str) -> None:
        limit = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
        details = {"pause_timeout": limit, "pause_reschedule": True}
        self.set_state(run, type="PAUSED", name="Suspended", state_details=details)

    def resume(self, run: str) -> None:
        answer = self.post(f"/flow_runs/{run}/resume")
        assert answer["status"] == "ACCEPT", answer

    def retry(self, run: str) -> None:
        self.set_state(run, type="SCHEDULED", name="AwaitingRetry", message="Retry from the UI")

    def tasks(self, run: str) -> dict[str, str]:
        """The states of a run's task runs, by their names; of those of one name the last."""
        found = self.post("/task_runs/filter", flow_runs={"id": {"any_": [run]}}, sort="EXPECTED_START_TIME_ASC")
        return {task["name"]: task["state_name"] for task in found}

    @property
    def read(self) -> Counter[str]:
        """How often the engine read each image, by its digest, which is what it answers."""
        return Counter((self.home / "images.log").read_text().split())

    @property
    def claims(self) -> list[dict[str, Any]]:
        """Who claims slots of the engine."""
        return [claim for path in self.home.glob("slots/*.json") for claim in json.loads(path.read_text())["claims"]]

    def _answers(self, name: str, url: str) -> bool:
        assert self.running[name].poll() is None, (self.home / f"{name}.log").read_text()
        try:
            return httpx.get(url).is_success
        except httpx.TransportError:
            return False

    def _works(self) -> bool:
        found = self.post("/work_pools/hearth/workers/filter") if self._has_pool() else []
        return any(worker["status"] == "ONLINE" for worker in found)

    def _has_pool(self) -> bool:
        return httpx.get(f"{self.api}/work_pools/hearth").is_success


@contextmanager
def prefect_processes(home: Path) -> Iterator[Processes]:
    """All three, the deployments that tests use; a page takes 0.3 s, and one in landscape until it is let go."""
    api = f"http://127.0.0.1:{free_port()}/api"
    engine = {"ENGINE_SECONDS": "0.3", "ENGINE_LOG": str(home / "images.log"), "ENGINE_GATE": str(home / "gate")}
    reading = {
        **{"HEARTH_HOME": str(home), "HEARTH_MODEL": "tesseract:eng", "HEARTH_READ__RETRY_SECONDS": "2"},
        "HEARTH_URL": f"http://127.0.0.1:{free_port()}",
        # A page that the test holds back is no page that hangs.
        **dict.fromkeys(("HEARTH_READ__TIMEOUT_SECONDS", "HEARTH_READ__TIMEOUT_LEAST_SECONDS"), "1800"),
    }
    prefect = {"PREFECT_API_URL": api, "PREFECT_HOME": str(seed(home / "prefect"))}
    processes = Processes(home, api, {**clean(), **SERVER, **WORKER, **engine, **reading, **prefect})
    try:
        for name in ("server", "engine", "worker"):
            processes.start(name)
        for name in ("on-demand", "nightly", "sweep-machines"):
            forkserver.run("prefect", "--no-prompt", "deploy", "--name", name, cwd=ROOT, env=processes.environment)
        yield processes
    finally:
        for name in list(processes.running):
            processes.kill(name)


def _port(url: str) -> str:
    return str(urlsplit(url).port)


def pages(output: Path) -> list[Path]:
    """The pages that are stored of whatever was read there."""
    return sorted(output.glob("*/pages/*.json"))
