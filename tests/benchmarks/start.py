"""How long it takes to the first page: processor time of commands, and the time from *Run* to a page, part by part.

`python -m tests.benchmarks.start` runs each command in turns with `python -c "from prefect import flow"`, and prints
the medians and their ratio to that; a loop that always does the same shows the machine's own noise. Then it brings up
Prefect in an empty directory (`hearth up`), has a document of one page read by a POST to the API, several times, and
prints when each part of that was over. `--python` names the interpreter of another version of Hearth.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx

from tests.benchmarks.section import Section
from tests.support import pdfs
from tests.support.environment import clean
from tests.support.prefect_home import password_in

_IMPORT = "from prefect import flow"
_CONTROL = "sum(i * i for i in range(4_000_000))"
_DEPLOYMENT = "process-document/on-demand"
_POLL_SECONDS = 0.05


@dataclass
class Place:
    """A directory with a document, whose servers are of its own."""

    directory: Path
    python: str

    @property
    def environment(self) -> dict[str, str]:
        home = self.directory / "home"
        own = {"HEARTH_HOME": str(home), "PREFECT_HOME": str(home / "prefect"), "HEARTH_IDLE_MINUTES": "30"}
        return {**clean("PYTHON"), **own}

    def hearth(self, *arguments: str) -> list[str]:
        return [self.python, "-P", "-m", "flows.cli.main", *arguments]

    def run(self, command: list[str]) -> tuple[float, float]:
        """Run a command, and return the processor time and the time that it took, seconds."""
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        done = subprocess.run(command, cwd=self.directory, env=self.environment, capture_output=True, check=False)
        took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"{command} failed:\n{done.stderr.decode()}")
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, took


def commands(place: Place, rounds: int) -> Section:
    """Measure the commands in turns."""
    asked = {
        "control: a loop": [place.python, "-c", _CONTROL],
        _IMPORT: [place.python, "-c", _IMPORT],
        "hearth --help": place.hearth("--help"),
        "hearth status": place.hearth("status"),
        "hearth read, warm, one page": place.hearth("read", "page.pdf", "--force"),
    }
    place.run(asked["hearth read, warm, one page"])  # starts the servers
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in asked}
    for _ in range(rounds):
        for name, command in asked.items():
            took[name].append(place.run(command))
    rows = []
    base = statistics.median(cpu for cpu, _ in took[_IMPORT])
    for name, figures in took.items():
        cpus, seconds = zip(*figures, strict=True)
        median = statistics.median(cpus)
        shown = (median, min(cpus), max(cpus), median / base, statistics.median(seconds))
        rows.append((name, *(f"{each:.2f}" for each in shown)))
    columns = ("command", "processor s", "least", "most", "of the import", "s")
    return Section("commands", "Commands, medians of turns", columns, rows)


@contextmanager
def prefect_up(place: Place) -> Iterator[tuple[httpx.Client, float]]:
    """Yield a client of the API that `hearth up` brings up, and how long that took, seconds."""
    _, seconds = place.run(place.hearth("up"))
    try:
        home = Path(place.environment["HEARTH_HOME"])
        port = (home / "prefect-port").read_text().strip()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api", auth=password_in(home), timeout=60) as client:
            yield client, seconds
    finally:
        place.run(place.hearth("down"))
        place.run(place.hearth("stop", "--force"))


def runs(client: httpx.Client, place: Place, rounds: int) -> list[tuple[str, ...]]:
    """Have the document read by the worker; return median, least and most of the seconds until each part was over."""
    deployment = client.get(f"/deployments/name/{_DEPLOYMENT}").raise_for_status().json()["id"]
    job = {"document": str(place.directory / "page.pdf"), "force": True}
    parts = [_run(client, deployment, job) for _ in range(rounds + 1)][1:]  # the first one starts the page server
    rows = []
    for name in parts[0]:
        seconds = [each[name] for each in parts]
        shown = (statistics.median(seconds), min(seconds), max(seconds))
        rows.append((name, *(f"{each:.1f}" for each in shown)))
    return rows


def _run(client: httpx.Client, deployment: str, job: dict[str, Any]) -> dict[str, float]:
    asked = {"parameters": {"job": job}, "idempotency_key": token_hex(8)}
    posted = time.time()
    while True:
        created = client.post(f"/deployments/{deployment}/create_flow_run", json=asked)
        if created.status_code != httpx.codes.SERVICE_UNAVAILABLE:  # the database is locked by another
            break
    run = created.raise_for_status().json()["id"]

    def ended() -> bool:
        return client.get(f"/flow_runs/{run}").json()["state_type"] in {"COMPLETED", "FAILED", "CRASHED"}

    _until(ended)
    states = client.get("/flow_run_states/", params={"flow_run_id": run}).raise_for_status().json()
    tasks: list[dict[str, Any]] = []

    def recorded() -> bool:
        tasks[:] = client.post("/task_runs/filter", json={"flow_runs": {"id": {"any_": [run]}}}).json()
        return any(each["name"].startswith("page") and each["start_time"] for each in tasks)

    _until(recorded)
    began = {each["type"]: _at(each["timestamp"]) for each in reversed(states)}
    pages = [each for each in tasks if each["name"].startswith("page")]
    warm = [_at(each["start_time"]) for each in tasks if each["name"].startswith("warm up")]
    return {
        "the worker has seen it": began["PENDING"] - posted,
        "its process runs the flow": began["RUNNING"] - posted,
        "a server is there": min(warm) - posted,
        "the first page is in a slot": min(_at(each["start_time"]) for each in pages) - posted,
        "it has ended": began["COMPLETED"] - posted,
    }


def _until(holds: Callable[[], bool]) -> None:
    while not holds():
        time.sleep(_POLL_SECONDS)


def _at(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--only", choices=["commands", "runs"])
    arguments = parser.parse_args()
    for part in ("commands", "runs"):
        if arguments.only not in {None, part}:
            continue
        with tempfile.TemporaryDirectory(prefix="hearth-start-") as name:
            place = Place(Path(name), arguments.python)
            pdfs.written(place.directory / "page.pdf", "The harbour is quiet in the morning.")
            if part == "commands":
                commands(place, arguments.rounds).show()
                place.run(place.hearth("stop", "--force"))
                continue
            with prefect_up(place) as (client, seconds):
                rows = [("hearth up in an empty directory", f"{seconds:.1f}", "", "")]
                rows += [(f"from a POST: {part}", *shown) for part, *shown in runs(client, place, arguments.rounds)]
                Section(
                    "runs", "Seconds until Prefect is up, and until a run", ("", "median", "least", "most"), rows
                ).show()


if __name__ == "__main__":
    main()
