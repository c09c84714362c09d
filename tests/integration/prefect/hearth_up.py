"""`hearth up` in a directory of its own, and what a person asks of it over Prefect's API."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from tasks.backends.local.processes import MARK
from tests.support.commands import ROOT, Hearth, Outcome
from tests.support.environment import clean
from tests.support.prefect_home import fork_runs, password_in, seed
from tests.support.waiting import PATIENCE, until

START_SECONDS = 3 * PATIENCE
"""When a test gives up on a command that starts many processes one after the other."""
FINAL = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}


@dataclass
class Server:
    """A Prefect server, whose runs keep what they share in `home`."""

    home: Path
    api: str

    @property
    def auth(self) -> tuple[str, str] | None:
        """What one of Hearth's own asks for."""
        return password_in(self.home)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask again where SQLite was locked for longer than the server waits: Prefect's own client does, too."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = httpx.request(method, self.api + path, json=body, timeout=PATIENCE, auth=self.auth)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                answer.raise_for_status()
                return answer.json() if answer.content else None
            time.sleep(1)

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def post(self, path: str, **body: Any) -> Any:
        return self.ask("POST", path, body)

    def deployment(self, name: str) -> dict[str, Any]:
        return self.get(f"/deployments/name/{name}")

    def run(self, name: str, /, *, key: str | None = None, **parameters: Any) -> str:
        deployment = self.deployment(name)["id"]
        asked = {"parameters": parameters, "idempotency_key": key or uuid.uuid4().hex}
        return self.ask("POST", f"/deployments/{deployment}/create_flow_run", asked)["id"]

    def state(self, run: str) -> str:
        return self.get(f"/flow_runs/{run}")["state_name"]

    def set_state(self, run: str, **state: Any) -> None:
        """As the UI does."""
        answer = self.post(f"/flow_runs/{run}/set_state", state=state)
        assert answer["status"] == "ACCEPT", answer

    def cancel(self, run: str) -> None:
        self.set_state(run, type="CANCELLING", name="Cancelling")

    def ended(self, run: str, seconds: float = START_SECONDS) -> dict[str, Any]:
        def looked() -> dict[str, Any] | None:
            found: dict[str, Any] = self.get(f"/flow_runs/{run}")
            return found if found["state_type"] in FINAL else None

        return until(looked, seconds, every=0.2) or {}


@dataclass
class Up(Server):
    """What `hearth up` brought up."""

    hearth: Hearth
    told: str

    @property
    def password(self) -> str:
        """What the server asks for."""
        return ":".join(self.auth or ())


@contextmanager
def brought_up(home: Path, *, own_engine: bool = False, **settings: str) -> Iterator[Up]:
    """Bring it up; at the end it is brought down, and nothing of it is left.

    Its runs are forks of the tests' own fork server unless `own_engine`.
    """
    ours = {
        "AWS_CONFIG_FILE": os.devnull,
        "HEARTH_HOME": str(home),
        "PREFECT_HOME": str(seed(home / "prefect")),
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "HEARTH_INBOX": str(home / "inbox"),
        "HEARTH_OUTPUT": str(home / "results"),
        "HEARTH_BACKEND": "embedded",
    }
    hearth = Hearth(ROOT, {**clean("AWS_"), **ours, **settings})
    try:
        done = _outcome(hearth.start("up"))
        assert done.code == 0, done.err
        (record,) = home.glob("servers/prefect-*/server.json")
        up = Up(home, json.loads(record.read_text())["url"] + "/api", hearth, done.out)
        if not own_engine:
            fork_runs(up.api, auth=up.auth)
        yield up
    finally:
        down = hearth("down")
        hearth("stop", "--force")
    assert down.out.count(" has stopped.") == 2
    until(lambda: left(home) == [], every=0.2)


def _outcome(process: subprocess.Popen[str]) -> Outcome:
    out, err = process.communicate(timeout=START_SECONDS)
    return Outcome(process.returncode, out, err)


def left(home: Path) -> list[str]:
    """Command lines of processes that have this HEARTH_HOME."""
    of_it = processes("HEARTH_HOME", str(home)), processes(MARK, f"{home}/", begins=True)
    lines = []
    for process in (process for found in of_it for process in found):
        with suppress(psutil.Error):  # it has gone meanwhile
            lines.append(" ".join(process.cmdline()))
    return lines


def processes(variable: str, value: str, *, begins: bool = False) -> list[psutil.Process]:
    """Processes in whose environment a variable has a value, or one that begins so."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            found_value = process.environ().get(variable, "")
            if (found_value.startswith(value) if begins else found_value == value) and process.cmdline():
                found.append(process)
    return found
