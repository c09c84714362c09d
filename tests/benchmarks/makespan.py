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
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from tasks.documents.render import Renderer
from tasks.embedded.models import DEFAULT_MODEL
from tasks.settings.reading import LimitSettings
from tasks.settings.settings import Settings
from tests.benchmarks.drawing import draw
from tests.benchmarks.page_times import PageTimes, write_pdf
from tests.benchmarks.servers import ROOT, Machine, PageServer, PrefectServer, page_server, prefect_server

BUILD = ROOT / "build" / "bench"
OTHERS = ROOT / "build" / "rivals"
RIVALS = {
    "flow": "Hearth's flow",
    "bare": "bare asyncio + httpx loop",
    "map": "Prefect, ThreadPoolTaskRunner.map",
    "zerox": "py-zerox 0.0.7",
    "olmocr": "olmOCR 0.4.27",
    "limit": "Prefect, global limit a page",
}
_ON_PREFECT = {"flow", "map", "limit"}
Row = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """What is measured together, on one page server."""

    times: PageTimes
    slots: int
    sizes: tuple[int, ...]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.slots} slots, {self.times.name}"


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
        if rival in _ON_PREFECT:
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


def show(rows: list[Row]) -> None:
    """Print them."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    for name in dict.fromkeys(row["setting"] for row in rows if row["what"] == "makespan"):
        of = [row for row in rows if row["setting"] == name and row["what"] == "makespan"]
        sizes = list(dict.fromkeys(row["pages"] for row in of))
        ideals = ", ".join(f"{next(r['ideal'] for r in of if r['pages'] == size):.1f} s for {size}" for size in sizes)
        table = Table("", *(f"{size} pages" for size in sizes), title=f"{name}: makespan / ideal ({ideals})")
        for rival in dict.fromkeys(row["rival"] for row in of):
            table.add_row(RIVALS[rival], *(_cell(of, rival, size) for size in sizes))
        console.print(table)
    columns = ["pages", "idle slot", "client CPU", "rendering", "Prefect CPU", "requests", "events", "MB", "other work"]
    title = "ms a page (idle slot: median and 95th percentile); requests and events a page; processors that others used"
    for name in dict.fromkeys(row["setting"] for row in rows):
        table = Table("", *columns, title=f"{name}: {title}")
        for row in [row for row in rows if row["setting"] == name and row["ratio"]]:
            rendering, renderer = row["renderer_cpu_ms"], row["renderer_mb"]
            table.add_row(
                RIVALS[row["rival"]],
                str(row["pages"]),
                idle_slots(row),
                f"{row['client_cpu_ms'] + rendering:.1f}",
                f"{rendering:.1f}" if rendering else "",
                f"{row['prefect_cpu_ms']:.1f}" if row["rival"] in _ON_PREFECT else "",
                f"{row['prefect_requests']:.2f}" if row["rival"] in _ON_PREFECT else "",
                f"{row['prefect_events']:.2f}" if row["rival"] in _ON_PREFECT else "",
                f"{row['memory_mb']:.0f}" + (f" + {renderer:.0f}" if renderer else ""),
                f"{row['others_cpu']:.2f}",
            )
        console.print(table)


def report(rows: list[Row]) -> None:
    """Tables and pictures."""
    show(rows)
    BUILD.mkdir(parents=True, exist_ok=True)
    for picture in draw(rows, RIVALS, BUILD):
        print(picture.relative_to(ROOT))  # noqa: T201


def _cell(rows: list[Row], rival: str, size: int) -> str:
    of = [row for row in rows if (row["rival"], row["pages"]) == (rival, size)]
    ratios = sorted(row["ratio"] for row in of if row["ratio"])
    if ratios:
        spread = f" ({ratios[0]:.3f}-{ratios[-1]:.3f})" if len(ratios) > 1 else ""
        return f"{ratios[len(ratios) // 2]:.3f}{spread}"
    return f"not run: {of[0]['not_run']}" if of else ""


def idle_slots(row: Row) -> str:
    """How long a slot that came free stayed so: the median and the 95th percentile, in ms."""
    starts = sorted(start for start, _ in row["busy"])
    ends = sorted(end for _, end in row["busy"])
    gaps = sorted((start - end) * 1000 for start, end in zip(starts[row["slots"] :], ends, strict=False))
    return f"{gaps[len(gaps) // 2]:.0f}, {gaps[len(gaps) * 95 // 100]:.0f}" if gaps else ""


def install_others() -> None:
    """Other projects' code, from PyPI, into an environment of its own."""
    subprocess.run([sys.executable, "-m", "venv", str(OTHERS)], check=True)
    requirements = Path(__file__).parent / "others" / "requirements.txt"
    pip = [str(OTHERS / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--requirement", str(requirements)], check=True)


def settings(options: argparse.Namespace) -> list[Setting]:
    """Those asked for, or the usual ones."""
    if options.seconds:
        times = [PageTimes(seconds, sigma, options.seed) for seconds in options.seconds for sigma in options.sigma]
        sizes = tuple(options.pages or (50, 500))
        return [Setting(each, slots, sizes) for each in times for slots in options.slots]
    sizes = (50, 500, 5000) if options.full else (50, 500)
    usual = [
        Setting(PageTimes(0.2), 8, sizes),
        Setting(PageTimes(0.2, 0.5, options.seed), 8, sizes),
    ]
    if options.full:
        usual += [
            Setting(PageTimes(0.2), 4, (50, 500)),
            Setting(PageTimes(2.0), 8, (50, 500)),
            Setting(PageTimes(2.0, 0.5, options.seed), 16, (50, 500)),
        ]
    return usual


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
