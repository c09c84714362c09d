"""What metrics cost: the same pages with them and without, in turns. `python -m tests.benchmarks.metrics_cost`

Processor time of the reading process a page, and pages a second, each as a ratio to the runs without. The pages take
0.02 s each, so that the process that reads them is what limits the pace. `parts` as argument times each part alone,
which says more: the whole is lost in the noise.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from tasks.metrics.recorder import Recorder
from tasks.metrics.sinks import Identity, sinks_for
from tasks.reading.events import PageDone
from tasks.results.page import PageStatus
from tasks.runs.cost_tracker import CostTracker
from tasks.serving.server_pool import Servers
from tasks.settings.settings import Settings
from tests.benchmarks.page_times import PageTimes, write_pdf
from tests.benchmarks.rivals import Work, flow
from tests.benchmarks.servers import ROOT, page_server, prefect_server
from tests.support.metrics.results import result

_SECONDS, _SLOTS, _PAGES, _TURNS = 0.02, 8, 1000, 5
_OFF = "without"
WAYS: dict[str, dict[str, str]] = {
    _OFF: {},
    "as by default": {},
    "textfile, sent each second": {
        "HEARTH_METRICS__TEXTFILE": str(Path(tempfile.gettempdir()) / "hearth.prom"),
        "HEARTH_METRICS__FLUSH_SECONDS": "1",
    },
}


class _Nothing:
    """In place of the recorder."""

    def __init__(self, *_: object) -> None:
        return

    def hear(self, _: object) -> None:
        return

    def open(self) -> None:
        return

    async def close(self) -> None:
        return


def main() -> None:
    """Measure and print."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="hearth-metrics-") as name:
        directory = Path(name)
        pdf = directory / "pages.pdf"
        write_pdf(pdf, _PAGES)
        with prefect_server(directory), page_server(PageTimes(_SECONDS), _SLOTS, directory) as server:
            for turn in range(_TURNS):
                for way, settings in WAYS.items():
                    work = {"url": server.url, "images": "", "pdf": str(pdf), "pages": _PAGES, "slots": _SLOTS}
                    work["output"] = str(directory / f"{way} {turn}")
                    command = [sys.executable, "-m", "tests.benchmarks.metrics_cost", way, json.dumps(work)]
                    environment = {**os.environ, **settings}
                    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
                    found[way].append(json.loads(done.stdout.splitlines()[-1]))
    # The least processor time: what other work adds to it, such as cold caches, is not ours.
    least = {way: min(run["cpu"] for run in runs) for way, runs in found.items()}
    pace = {way: median(run["seconds"] for run in runs) for way, runs in found.items()}
    for way in WAYS:
        sys.stdout.write(
            f"{way:<28} {least[way] / _PAGES * 1000:6.2f} ms of processor a page ({least[way] / least[_OFF]:.3f}), "
            f"{_PAGES / pace[way]:6.1f} pages a second ({pace[_OFF] / pace[way]:.3f})\n"
        )


def parts() -> None:
    """Time the parts of it alone."""
    with tempfile.TemporaryDirectory(prefix="hearth-metrics-") as name:
        settings, whose = Settings(home=Path(name)), Identity("paper", "url", "url", "m")
        recorder = Recorder(whose, Servers(), CostTracker(), settings, lambda: sinks_for(settings, whose))
        recorder.sinks = list(sinks_for(settings, whose))
        events = [PageDone(result(PageStatus.READ, None, seconds=1 + number / 100)) for number in range(500)]
        for what, times, call in (
            ("a page", len(events) * 20, lambda: [recorder.hear(event) for event in events]),
            ("a sample, one a second", 200, recorder.sample),
            ("a flush, one a minute", 200, recorder.flush),
        ):
            began = time.process_time()
            for _ in range(20 if what == "a page" else times):
                call()
            sys.stdout.write(f"{what:<28} {(time.process_time() - began) / times * 1e6:7.1f} us of processor\n")


def run(way: str, work: dict[str, Any]) -> None:
    """One run, in a process of its own."""
    if way == _OFF:
        import flows.engine.server_group

        flows.engine.server_group.Recorder = _Nothing  # type: ignore[assignment,misc]
    paths = {key: Path(work[key]) for key in ("images", "pdf", "output")}
    measured = flow(Work(**{**work, **paths}))
    sys.stdout.write(json.dumps({"cpu": measured["cpu"], "seconds": measured["ended"] - measured["started"]}) + "\n")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["parts"]:
            parts()
        case [chosen, given]:
            run(chosen, json.loads(given))
        case _:
            main()
