"""`hearth read`, several times at once, over servers that count."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.sharing_figures import figures
from tests.support.ollama.counting import CountingOllama, run_settings

_LONGEST = 900.0
_LOOK = 0.05
Row = dict[str, Any]


@dataclass
class Runs:
    """Commands that read one PDF from the same servers, each into a directory of its own."""

    directory: Path
    pdf: Path
    servers: Sequence[CountingOllama]
    slots: int
    processes: dict[int, psutil.Popen] = field(default_factory=dict)
    outcomes: dict[int, Row] = field(default_factory=dict)
    ready: dict[int, float] = field(default_factory=dict)
    events: list[tuple[float, str]] = field(default_factory=list)
    _cpu: dict[int, float] = field(default_factory=dict)
    _cpu_before: float = 0.0

    def start(self, run: int, pages: int) -> None:
        """Start one."""
        files = {name: (self.directory / f"{name}-{run}").open("w") for name in ("out", "err")}
        self.processes[run] = psutil.Popen(
            [
                *(sys.executable, "-P", "-m", "flows.cli.main", "read", str(self.pdf), "--json"),
                *("--pages", f"1-{pages}", "--slots", str(self.slots), "--output", str(self.directory / str(run))),
            ],
            cwd=self.directory,
            env={
                **os.environ,
                "HEARTH_URL": ",".join(server.url for server in self.servers),
                "HEARTH_WARM__ANSWER_SECONDS": str(_LONGEST),
                "HEARTH_WARM__DEADLINE_SECONDS": str(_LONGEST),
                **run_settings(run),
            },
            stdin=subprocess.DEVNULL,
            stdout=files["out"],
            stderr=files["err"],
        )

    def line_up(self, count: int, pages: int) -> None:
        """Start so many, and let them go when all are about to warm up."""
        for server in self.servers:
            server.open.clear()
        for run in range(1, count + 1):
            self.start(run, pages)
        self.until(lambda: self.servers[0].waiting >= count)
        time.sleep(3)  # what they render ahead
        self.let_go()

    def let_go(self) -> None:
        """Open the servers, and count from here."""
        self.look()
        self._cpu_before = sum(self._cpu.values())
        for server in self.servers:
            server.open.set()

    def kill(self, run: int) -> float:
        """End one without warning, and say when."""
        self.events.append((time.monotonic(), f"run {run} is killed"))
        self.processes[run].kill()
        return self.events[-1][0]

    def started(self, run: int, pages: int = 1) -> bool:
        """Whether the run has got so many pages into slots."""
        return sum(note.run == run and note.started is not None for s in self.servers for note in s.pages) >= pages

    def until(self, done: Callable[[], bool]) -> None:
        """Wait for something while nothing goes wrong."""
        deadline = time.monotonic() + _LONGEST
        while not done():
            self.look()
            if time.monotonic() > deadline:
                raise SystemExit(f"nothing more happened for {_LONGEST:.0f} s")
            time.sleep(_LOOK)

    def look(self) -> None:
        """Note the processor time of the runs, their renderers' not counted, and how those ended that have."""
        for run, process in self.processes.items():
            with suppress(psutil.NoSuchProcess):
                self._cpu[run] = max(self._cpu.get(run, 0.0), sum(process.cpu_times()[:2]))
            code = process.poll()
            if run not in self.outcomes and code is not None:
                out, err = ((self.directory / f"{name}-{run}").read_text() for name in ("out", "err"))
                if code > 0:
                    raise SystemExit(f"run {run} failed with {code}: {err[-3000:]}{out[-1000:]}")
                self.outcomes[run] = json.loads(out) if code == 0 else {"status": "killed"}
                if code == 0:
                    self.ready[run] = _ready_at(Path(self.outcomes[run]["output"]))

    def wait(self) -> None:
        """Wait until all have ended."""
        self.until(lambda: len(self.outcomes) == len(self.processes))

    def row(self, what: str, page_seconds: float, **more: Any) -> Row:
        """What is kept of it all."""
        told = [figures(server, page_seconds, self.ready) for server in self.servers]
        zero = min(note.received for server in self.servers for note in server.notes)
        pages = sum(len(server.pages) for server in self.servers)
        return {
            "what": what,
            "runs": len(self.processes),
            "page_seconds": page_seconds,
            "slots_told": {run: outcome.get("slots") for run, outcome in self.outcomes.items()},
            "cpu_ms_a_page": (sum(self._cpu.values()) - self._cpu_before) / pages * 1000,
            **told[0],
            "servers": told,
            **more,
            "events": [(moment - zero, told) for moment, told in self.events],
            "notes": [[_from(zero, asdict(note)) for note in server.notes] for server in self.servers],
        }


def _ready_at(output: Path) -> float:
    """When a run was ready to send pages, by its own account, on the monotonic clock."""
    manifest = json.loads((output / "manifest.json").read_text())
    began = datetime.fromisoformat(manifest["started_at"]).timestamp()
    return began + manifest["warm_seconds"] - (time.time() - time.monotonic())


def _from(zero: float, note: Row) -> Row:
    moments = ("received", "started", "ended")
    return note | {name: None if note[name] is None else round(note[name] - zero, 4) for name in moments}


def in_flight(server: CountingOllama, runs: Sequence[int]) -> int:
    """How many pages of some runs it works on now."""
    return sum(note.ended is None and note.started is not None and note.run in runs for note in server.pages)
