"""What a document costs: a batch of one-page documents against the ideal, and a bare loop over the same documents.

`python -m tests.benchmarks.batch` has both read the same folders from the same page server, whose engine sleeps instead
of reading, in turns. The ratio is that of the whole run, from the call of the flow to its end with Prefect up, to the
ideal: list scheduling of the page times alone. The bare loop opens, renders, posts and stores each document: what it
loses is the machine's. `--start` measures when the first page of a long batch has a slot.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import psutil

from tests.benchmarks.batch_runs import Figures, Folder
from tests.benchmarks.page_times import PageTimes, write_pdf
from tests.benchmarks.section import BUILD, Section
from tests.benchmarks.servers import ROOT, Machine, PageServer, PrefectServer, page_server, prefect_server

USUAL = ((0.05, 100), (0.05, 1000), (0.2, 100), (1.0, 100))
"""Seconds of a page and number of documents."""
FULL = ((0.05, 100), (0.05, 400), (0.05, 1000), (0.2, 1000), (1.0, 1000))
_START_MINUTES = 0.25
_LOOK_SECONDS = 0.3


def measured(
    prefect: PrefectServer, server: PageServer, name: str, folder: Folder, times: PageTimes, documents: int
) -> Figures:
    """Have one of the two read a folder, and return what a document took and cost."""
    machine, mark = Machine(server.process, prefect.process), server.marks()
    events, requests, cpu = prefect.events(), prefect.requests(), prefect.cpu()
    command = [sys.executable, "-m", "tests.benchmarks.batch_runs", name, json.dumps(asdict(folder))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process, memory(process.pid) as most:
        told, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{name} failed")
    figures: Figures = json.loads(told.splitlines()[-1]) | most
    others = machine.others()
    if name == "flow":
        prefect.settle()
    seconds = figures["ended"] - figures["began"]
    cpu = max(0.0, prefect.cpu() - cpu - prefect.idle_share * seconds) if name == "flow" else 0.0
    pages = [start for page, start, _ in server.busy(mark) if page]
    if folder.minutes is None and (len(pages), figures["read"]) != (documents, documents):
        raise SystemExit(f"{name} read {len(pages)} of {documents} documents")
    shutil.rmtree(folder.output, ignore_errors=True)
    return figures | {
        "seconds": seconds,
        "ratio": seconds / times.ideal(documents, folder.slots),
        "first": min(pages) - figures["began"],
        "cpu_ms": figures["cpu"] / documents * 1000,
        "renderer_ms": figures["renderer_cpu"] / documents * 1000,
        "prefect_ms": cpu / documents * 1000,
        "requests": (prefect.requests() - requests) / documents,
        "events": (prefect.events() - events) / documents,
        "others": others,
    }


@contextmanager
def memory(pid: int) -> Iterator[Figures]:
    """Peak memory of a process and of its children, in MB, and how many of these there were; seen from outside."""
    most, seen, ended = {"memory": 0.0, "renderers_memory": 0.0, "renderers": 0.0}, set[int](), threading.Event()

    def look() -> None:
        process = psutil.Process(pid)
        while not ended.wait(_LOOK_SECONDS):
            with suppress(psutil.NoSuchProcess):
                children = process.children()
                most["memory"] = max(most["memory"], process.memory_info().rss / 1e6)
                most["renderers_memory"] = max(
                    most["renderers_memory"], sum(child.memory_info().rss for child in children) / 1e6
                )
                seen.update(child.pid for child in children)
        most["renderers"] = len(seen)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield most
    finally:
        ended.set()
        looker.join()


def inbox(directory: Path, documents: int) -> Path:
    """Write a folder of documents of one page each, each page marked with its number."""
    folder = directory / f"inbox-{documents}"
    if not folder.exists():
        folder.mkdir()
        for number in range(1, documents + 1):
            write_pdf(folder / f"{number:05}.pdf", 1, number)
    return folder


def row(name: str, runs: list[Figures]) -> list[str]:
    """The cells of one way of reading: medians of its runs."""

    def median(what: str) -> float:
        return statistics.median(run[what] for run in runs)

    spread = f" ({min(r['ratio'] for r in runs):.2f}-{max(r['ratio'] for r in runs):.2f})" if len(runs) > 1 else ""
    parts = ("cpu_ms", "renderer_ms", "prefect_ms") if name == "flow" else ("cpu_ms", "renderer_ms")
    return [
        f"{median('seconds'):.1f}",
        f"{median('ratio'):.2f}{spread}",
        f"{median('first'):.1f}",
        " + ".join(f"{median(part):.1f}" for part in parts) + f" = {sum(map(median, parts)):.1f}",
        f"{median('requests'):.2f}, {median('events'):.2f}" if name == "flow" else "",
        f"{median('memory'):.0f} + {median('renderers_memory'):.0f}",
        f"{median('renderers'):.0f}",
        f"{median('others'):.2f}",
    ]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.batch")
    parser.add_argument("--full", action="store_true", help="1,000 documents of 0.05, 0.2 and 1 s: 10 minutes a turn")
    parser.add_argument("--seconds", type=float, help="page time instead of the usual ones")
    parser.add_argument("--documents", type=int, nargs="+", default=[100, 1000], help="with --seconds")
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=1, help="turns; the table shows medians and the range")
    parser.add_argument("--start", type=int, nargs="*", default=[], help="documents of batches that only begin")
    parser.add_argument("--only", choices=("flow", "bare"), nargs="+", default=["flow", "bare"])
    options = parser.parse_args()
    cases = [(options.seconds, documents) for documents in options.documents] if options.seconds else list(USUAL)
    cases = list(FULL) if options.full else cases
    starts = [(1.0, documents) for documents in options.start]
    columns = ("seconds", "of the ideal", "first page", "CPU, ms a document", "requests, events", "MB", "processes")
    rows = []
    kept = []
    with tempfile.TemporaryDirectory(prefix="hearth-batch-") as name, prefect_server(Path(name)) as prefect:
        directory = Path(name)
        for seconds, documents in starts or cases:
            times = PageTimes(seconds)
            source, output = str(inbox(directory, documents)), str(directory / "output")
            with page_server(times, options.slots, directory) as server:
                # A first run does what servers do but once.
                few = Folder(server.url, str(inbox(directory, 8)), output, options.slots)
                measured(prefect, server, "flow", few, times, 8)
                folder = Folder(server.url, source, output, options.slots, _START_MINUTES if starts else None)
                runs: dict[str, list[Figures]] = {way: [] for way in options.only if way == "flow" or not starts}
                for _ in range(options.repeats):
                    for way, of in runs.items():
                        of.append(measured(prefect, server, way, folder, times, documents))
            for way, of in runs.items():
                rows.append((f"{seconds:g} s", f"{documents}", way, *row(way, of)))
                kept.append({"page": seconds, "documents": documents, "way": way, "runs": of})
            BUILD.mkdir(parents=True, exist_ok=True)
            (BUILD / "batch.json").write_text(json.dumps(kept))
    title = f"Batches of documents of one page, {options.slots} slots: medians and range"
    Section("batch", title, ("page", "documents", "", *columns, "other work"), rows).show()


if __name__ == "__main__":
    main()
