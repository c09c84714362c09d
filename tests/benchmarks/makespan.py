"""How long the flow takes, against other ways of driving the same page server, in one run.

`python -m tests.benchmarks.makespan` starts one page server for each setting of slots and page times, has every rival
read the same pages from it in turns, and prints each one's makespan over the ideal: from the moment when the rival is
set up and begins with its pages to the last page's end. The ideal is list scheduling of the same page times: each page,
in order, goes to the slot that is free first, and nothing else takes time. Raw figures go to build/bench/results.json,
pictures to build/bench/*.svg.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from tasks.documents.render import Renderer
from tasks.embedded.models import DEFAULT_MODEL
from tasks.settings.reading import LimitSettings
from tasks.settings.settings import Settings
from tests.benchmarks.makespan_settings import Setting, settings
from tests.benchmarks.makespan_tables import ON_PREFECT, RIVALS, Row, report
from tests.benchmarks.page_times import PageTimes, write_pdf
from tests.benchmarks.section import BUILD
from tests.benchmarks.servers import ROOT, Machine, PageServer, PrefectServer, page_server, prefect_server

OTHERS = ROOT / "build" / "rivals"


@dataclass
class Bench:
    """One run of the whole."""

    directory: Path
    prefect: PrefectServer
    most_seconds: float
    rows: list[Row]

    def compare(self, setting: Setting, rivals: list[str], repeats: int) -> None:
        """Every rival at every size, in turns."""
        with page_server(setting.times, setting.slots, self.directory) as server:
            self._run(server, "flow", setting.slots, setting.slots)  # what servers do but once
            self.prefect.settle()
            for size in setting.sizes:
                for turn in range(repeats):
                    for rival in rivals:
                        self._keep(self._measured(server, setting, rival, size), turn)

    def memory(self, sizes: list[int], slots: int) -> None:
        """The flow's peak memory by size, with pages as quick as the machine can take them."""
        times = PageTimes(0.02)
        with page_server(times, slots, self.directory) as server:
            for size in sizes:
                self._keep(self._measured(server, Setting(times, slots, ()), "flow", size) | {"what": "memory"}, 0)

    def _keep(self, row: Row, turn: int) -> None:
        row["turn"] = turn
        self.rows.append(row)
        shown = {name: value for name, value in row.items() if name != "busy"}
        print(json.dumps(shown), file=sys.stderr)  # noqa: T201
        write(self.rows)

    def _measured(self, server: PageServer, setting: Setting, rival: str, size: int) -> Row:
        ideal = setting.times.ideal(size, setting.slots)
        row = {
            "what": "makespan",
            "rival": rival,
            "pages": size,
            "slots": setting.slots,
            **asdict(setting.times),
            "setting": setting.name,
            "ideal": ideal,
            "ratio": None,
        }
        if trouble := self._too_long(rival, setting, size, ideal):
            return row | {"not_run": trouble}
        machine, mark = Machine(server.process, self.prefect.process), server.marks()
        events, requests, cpu = self.prefect.events(), self.prefect.requests(), self.prefect.cpu()
        began = time.monotonic()
        try:
            measured = self._run(server, rival, setting.slots, size)
        except subprocess.TimeoutExpired:
            return row | {"not_run": f"not done after {self.most_seconds:.0f} s", "at_least": self.most_seconds / ideal}
        others = machine.others()
        if rival in ON_PREFECT:
            self.prefect.settle()
        # What the server uses when nobody asks it for anything is not the pages'.
        cpu = self.prefect.cpu() - cpu - self.prefect.idle_share * (time.monotonic() - began)
        seconds = measured["ended"] - measured["started"]
        busy = [each for each in server.busy(mark) if each[0] and each[2] >= measured["started"]]
        if sorted({page for page, _, _ in busy}) != list(range(1, size + 1)):
            raise SystemExit(f"{rival} did not read the pages: {len(busy)} of {size}")
        return row | {
            "seconds": seconds,
            "ratio": seconds / ideal,
            "asked": len(busy),
            "warm_pages": measured.get("warm", 0.0) / setting.times.median,
            "client_cpu_ms": measured["cpu"] / size * 1000,
            "renderer_cpu_ms": measured.get("renderer_cpu", 0.0) / size * 1000,
            "prefect_cpu_ms": max(0.0, cpu) / size * 1000,
            "prefect_requests": (self.prefect.requests() - requests) / size,
            "prefect_events": (self.prefect.events() - events) / size,
            "memory_mb": measured.get("memory", 0.0),
            "renderer_mb": measured.get("renderer", 0.0),
            "others_cpu": others,
            "busy": [
                [round(start - measured["started"], 3), round(end - measured["started"], 3)] for _, start, end in busy
            ],
        }

    def _too_long(self, rival: str, setting: Setting, size: int, ideal: float) -> str | None:
        earlier = [
            row["ratio"] or row.get("at_least", 0.0)
            for row in self.rows
            if (row["rival"], row["setting"]) == (rival, setting.name) and row["pages"] < size
        ]
        # Ours and the bare loop are what everything is about.
        if earlier and rival not in {"flow", "bare"} and earlier[-1] * ideal > self.most_seconds:
            return f"would take over {self.most_seconds:.0f} s"
        return None

    def _run(self, server: PageServer, rival: str, slots: int, size: int) -> dict[str, float]:
        output = self.directory / "output"
        given = {
            "url": server.url,
            "images": str(self.directory / "images"),
            "pdf": str(self.directory / "pages.pdf"),
            "pages": size,
            "slots": slots,
        }
        if rival in {"zerox", "olmocr"}:
            # Theirs take a whole document.
            given["pdf"] = str(self.directory / f"pages-{size}.pdf")
            given |= {"model": DEFAULT_MODEL, "num_ctx": Settings().read.num_ctx}
            program = Path(__file__).parent / "others" / f"{rival}.py"
            command = [str(OTHERS / "bin" / "python"), str(program), json.dumps(given)]
        else:
            given["output"] = str(output)
            command = [sys.executable, "-m", "tests.benchmarks.rivals", rival, json.dumps(given)]
        limit = None if rival in {"flow", "bare"} else self.most_seconds + 60
        done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=limit, check=False)
        shutil.rmtree(output, ignore_errors=True)
        if done.returncode:
            raise SystemExit(f"{rival} failed: {done.stderr.decode()[-3000:]}")
        measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return measured


async def render(path: Path, pages: int, images: Path) -> None:
    """The images of the pages, as the flow renders them."""
    async with Renderer(path, Settings().read.longest_side, LimitSettings()) as renderer:
        for number in range(1, pages + 1):
            (images / f"{number:05}.png").write_bytes((await renderer.page(number)).png)


def machine() -> Row:
    """What it was measured on."""
    return {
        "cpus": psutil.cpu_count(),
        "machine": platform.machine(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "system": platform.system(),
        "python": platform.python_version(),
        "load": os.getloadavg()[0],
    }


def write(rows: list[Row]) -> None:
    """Keep the raw figures."""
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "results.json").write_text(json.dumps({"machine": machine(), "rows": rows}))


def install_others() -> None:
    """Other projects' code, from PyPI, into an environment of its own."""
    subprocess.run([sys.executable, "-m", "venv", str(OTHERS)], check=True)
    requirements = Path(__file__).parent / "others" / "requirements.txt"
    pip = [str(OTHERS / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--requirement", str(requirements)], check=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.makespan")
    parser.add_argument("--full", action="store_true", help="5,000 pages, more settings, and memory: over an hour")
    parser.add_argument("--seconds", type=float, nargs="+", help="page times instead of the usual settings (median)")
    parser.add_argument("--sigma", type=float, nargs="+", default=[0.0], help="of the lognormal; 0: all pages alike")
    parser.add_argument("--slots", type=int, nargs="+", default=[8])
    parser.add_argument("--pages", type=int, nargs="+", help="sizes, with --seconds (default: 50 500)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1, help="turns; the table shows the median and the range")
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=list(RIVALS))
    parser.add_argument("--most-seconds", type=float, help="no rival of ours takes longer (default: 60; --full: 900)")
    parser.add_argument("--memory", type=int, nargs="*", help="sizes at which to measure the flow's memory")
    parser.add_argument("--install-rivals", action="store_true", help="install py-zerox and olmOCR under build/ first")
    parser.add_argument("--draw", type=Path, nargs="+", help="show and draw results.json files, and measure nothing")
    options = parser.parse_args()
    if options.draw:
        report([row for path in options.draw for row in json.loads(path.read_text())["rows"]])
        return
    if options.install_rivals:
        install_others()
    rivals = list(options.rivals)
    if not (OTHERS / "bin" / "python").exists():
        rivals = [rival for rival in rivals if rival not in {"zerox", "olmocr"}]
        print("py-zerox and olmOCR are left out: --install-rivals installs them under build/", file=sys.stderr)  # noqa: T201
    wanted = [] if options.memory and not options.seconds and not options.full else settings(options)
    memory = options.memory or ([100, 1000, 10_000] if options.full else [])
    sizes = {size for setting in wanted for size in setting.sizes}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as name:
        directory = Path(name)
        write_pdf(directory / "pages.pdf", max(sizes | set(memory)))
        for size in sizes:
            write_pdf(directory / f"pages-{size}.pdf", size)
        (directory / "images").mkdir()
        asyncio.run(render(directory / "pages.pdf", max(sizes, default=0), directory / "images"))
        with prefect_server(directory) as prefect:
            most = options.most_seconds or (900 if options.full else 60)
            bench = Bench(directory, prefect, most, rows)
            for setting in wanted:
                bench.compare(setting, rivals, options.repeats)
            if memory:
                bench.memory(memory, options.slots[0])
    report(rows)


if __name__ == "__main__":
    main()
