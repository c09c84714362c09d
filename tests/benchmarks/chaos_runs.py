"""The processes of a chaos run, and the blows at them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.benchmarks.chaos_plan import Blow, BlowKind, Schedule
from tests.benchmarks.chaos_prefect import Prefect
from tests.faults.server import MODEL, PageServer
from tests.support.aws.leash import ROOT

LONGEST_S = 300
"""For one run of a document; then it is taken to hang."""

_OTHERS = ("HEARTH_", "OLLAMA_", "PREFECT_")
_MOST_REFUSALS = 5
_LAST_BREATH_S = 0.3
_PATIENCE = {
    "HEARTH_READ__LONGEST_SIDE": "192",
    "HEARTH_READ__TIMEOUT_SECONDS": "3",
    "HEARTH_READ__RETRY_SECONDS": "60",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
}


@dataclass
class Reading:
    """A document on its way.

    Attributes:
        asked: requests for its pages so far.
        runs: how often it was begun with.
        kills: when its run was killed, and the pages that were stored then.
        stops: how often its run was stopped for a while.
        refused: how often Prefect's server took no run, so that it was begun with again.
        errors: what a run said that ended without having been killed, and not well.
        strikes: the blows at it, begun or done.
    """

    schedule: Schedule
    path: Path = Path()
    asked: int = 0
    runs: int = 0
    kills: list[tuple[float, frozenset[int]]] = field(default_factory=list)
    stops: int = 0
    refused: int = 0
    errors: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    strikes: list[Future[None]] = field(default_factory=list)


class Runs:
    """Runs documents, by commands of their own or in one process that has many, and strikes. Use as a context manager.

    Attributes:
        home: HEARTH_HOME of all that it starts.
        blows: those that hit.
    """

    def __init__(self, directory: Path, server: PageServer, url: str, prefect: Prefect, slots: int) -> None:
        self.home = directory / "home"
        self.blows: Counter[BlowKind] = Counter()
        self._directory = directory
        self._server = server
        self._prefect = prefect
        clean = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
        self._environment = (
            clean
            | _PATIENCE
            | {
                "HEARTH_HOME": str(self.home),
                "HEARTH_URL": url,
                "HEARTH_MODEL": MODEL,
                "HEARTH_SLOTS": str(slots),
                "HEARTH_OUTPUT": str(directory / "results"),
                "PREFECT_API_URL": f"{prefect.url}/api",
                "PREFECT_HOME": str(directory / "prefect"),
            }
        )
        self._serving = threading.Lock()
        # Its threads stay until the end: the page servers that they start go with them.
        self._strikers = ThreadPoolExecutor(8, thread_name_prefix="blow")
        self._strikes: list[Future[None]] = []
        self._worker: subprocess.Popen[str] | None = None
        self._waiting: dict[str, Future[str]] = {}
        self._starting = threading.Lock()

    def __enter__(self) -> Self:
        """Nothing is started before it is needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what was started."""
        for strike in self._strikes:
            strike.result()
        if self._worker is not None:
            self._worker.stdin.close()
            try:
                self._worker.wait(30)
            finally:
                self._worker.kill()
                self._worker.wait()
                self._listener.join()
                self._worker.stdout.close()
        self._strikers.shutdown()

    def by_command(self, reading: Reading) -> None:
        """`hearth read`, and again after each time that it was killed."""
        command = [sys.executable, "-P", "-m", "flows.cli.main", "read", str(reading.path), "--json"]
        while True:
            kills = len(reading.kills)
            reading.runs += 1
            with subprocess.Popen(
                command,
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            ) as reading.process:
                try:
                    out, err = reading.process.communicate(timeout=LONGEST_S)
                except subprocess.TimeoutExpired:
                    reading.process.kill()
                    reading.errors.append(f"not done after {LONGEST_S} s")
                    return
            for strike in list(reading.strikes):
                strike.result()  # a kill that is under way is noted then
            if len(reading.kills) > kills:
                continue
            if reading.process.returncode and _refused(reading, err):
                continue
            if reading.process.returncode:
                reading.errors.append(f"exit code {reading.process.returncode}: {(err + out)[-600:]}")
            return

    def by_flow(self, reading: Reading) -> None:
        """A run of the flow, beside others, in the one process for these."""
        with self._starting:
            if self._worker is None:
                self._worker = self._started()
        while True:
            reading.runs += 1
            ended = self._waiting[str(reading.path)] = Future()
            # A line at a time: several threads write here.
            self._worker.stdin.write(json.dumps({"document": str(reading.path)}) + "\n")
            try:
                error = ended.result(LONGEST_S)
            except TimeoutError:
                error = f"not done after {LONGEST_S} s"
            if error and _refused(reading, error):
                continue
            if error:
                reading.errors.append(error)
            return

    def strike(self, reading: Reading, blow: Blow) -> None:
        """Do it, in its time; returns at once."""
        strike = self._strikers.submit(self._strike, reading, blow)
        reading.strikes.append(strike)
        self._strikes.append(strike)

    def _strike(self, reading: Reading, blow: Blow) -> None:
        time.sleep(blow.after)
        if blow.kind is BlowKind.KILL_SERVER:
            with self._serving:
                self._server.kill()
                time.sleep(blow.seconds)
                self._server.start()
            self.blows[blow.kind] += 1
            return
        process = reading.process
        pid = self._prefect.pid if blow.kind is BlowKind.STOP_PREFECT else process.pid if process else 0
        if blow.kind is not BlowKind.STOP_PREFECT and (process is None or process.poll() is not None):
            return
        self.blows[blow.kind] += 1
        if blow.kind is BlowKind.KILL_RUN:
            os.kill(pid, signal.SIGKILL)
            process.wait()
            # What it sent with its last breath may not have been seen yet; the next run needs far longer to send any.
            at = time.time() + _LAST_BREATH_S
            found = (self._directory / "results").glob(f"{reading.path.stem}-*/pages/????.json")
            reading.kills.append((at, frozenset(int(path.stem) for path in found)))
            return
        reading.stops += blow.kind is BlowKind.STOP_RUN
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(blow.seconds)
        finally:
            if blow.kind is BlowKind.STOP_PREFECT or process.poll() is None:
                os.kill(pid, signal.SIGCONT)

    def _started(self) -> subprocess.Popen[str]:
        with (self._directory / "worker.log").open("w") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "tests.benchmarks.chaos_worker"],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
            )
        self._listener = threading.Thread(target=self._listen, args=(worker,), daemon=True)
        self._listener.start()
        return worker

    def _listen(self, worker: subprocess.Popen[str]) -> None:
        for line in worker.stdout:
            told = json.loads(line)
            self._waiting.pop(told["document"]).set_result(told["error"])
        for future in self._waiting.values():
            future.set_result(f"the process of the runs ended, {worker.wait()}")


def _refused(reading: Reading, told: str) -> bool:
    """Whether Prefect's server, just stopped or overloaded, took no run; then nothing was begun with."""
    no_run = "PrefectHTTPStatusError" in told and reading.refused < _MOST_REFUSALS
    reading.refused += no_run
    return no_run
