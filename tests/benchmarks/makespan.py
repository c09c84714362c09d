"""How long the flow takes, against a bare asyncio + httpx loop of the same requests on the same server, in one run.

`python -m tests.benchmarks.makespan` starts one embedded server whose engine sleeps a set time a page, has the flow
and the bare loop read the same pages from it in turns, and prints the ratio of their makespans: from the first page's
start, when the model is warm, to the last page's end. The flow renders and stores the pages and reports them to a
Prefect server; the bare loop sends images that were rendered before, and drops the answers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import httpx
import psutil
import pymupdf
from rich.console import Console
from rich.table import Table

from tasks.embedded import DEFAULT_MODEL
from tasks.ollama_api import GenerateRequest
from tasks.render import Renderer
from tasks.settings import DEFAULT_PROMPT, LimitSettings, Settings

ROOT = Path(__file__).parents[2]


@contextmanager
def serving(page_seconds: float, slots: int) -> Iterator[str]:
    """An embedded server whose engine sleeps; yields its address."""
    command = [
        *(sys.executable, "-m", "tasks.embedded", "--port", "0", "--num-parallel", str(slots)),
        *("--engine", "tests.benchmarks.engines:sleeping"),
    ]
    environment = {**os.environ, "BENCH_PAGE_SECONDS": str(page_seconds)}
    # Its log goes to a file: a pipe that nobody empties would hold the server up after 2,000 pages.
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log) as server,
    ):
        try:
            yield _address(log)
        finally:
            server.terminate()


def _address(log: IO[str]) -> str:
    while True:
        log.seek(0)
        if match := re.search(r"http://\S+?:\d+", log.read()):
            return match[0]
        time.sleep(0.05)


def write_pdf(path: Path, pages: int) -> None:
    """A PDF of so many pages of text, each its own."""
    line = "The oven is lit once, every shelf is filled, and the fire goes out when the last order is done. "
    with pymupdf.open() as pdf:
        for number in range(1, pages + 1):
            page = pdf.new_page()
            page.insert_textbox(pymupdf.Rect(50, 50, 545, 792), f"Page {number}. " + line * 30, fontsize=11)
        pdf.save(path)


def request() -> GenerateRequest:
    """The flow's own, by its defaults."""
    settings = Settings()
    return GenerateRequest(DEFAULT_MODEL, settings.read.num_ctx, settings.read.num_predict, settings.idle_minutes * 60)


async def bare(url: str, images: list[bytes], slots: int) -> float:
    """The makespan of the bare loop, in seconds."""
    free = asyncio.Semaphore(slots)
    async with httpx.AsyncClient(base_url=url, timeout=300, verify=False, limits=httpx.Limits()) as client:

        async def one(image: bytes) -> None:
            async with free:
                response = await client.post("/api/generate", json=request().body(DEFAULT_PROMPT, (image,)))
                response.raise_for_status()

        started = time.perf_counter()
        await asyncio.gather(*(one(image) for image in images))
        return time.perf_counter() - started


async def rendered(path: Path, pages: int) -> list[bytes]:
    """The images of the first pages."""
    async with Renderer(path, Settings().read.longest_side, LimitSettings()) as renderer:
        return [(await renderer.page(number)).png for number in range(1, pages + 1)]


def flow(url: str, path: Path, pages: int, slots: int, output: Path) -> dict[str, float]:
    """One run of the flow in a process of its own: makespan and CPU in seconds, peak memory in MB."""
    command = [
        *(sys.executable, "-m", "tests.benchmarks.makespan", "--flow", str(path), "--pages", str(pages)),
        *("--slots", str(slots), "--output", str(output)),
    ]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "HEARTH_URL": url}, capture_output=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


async def run_flow(path: Path, pages: int, slots: int, output: Path) -> dict[str, float]:
    """What `flow` has done in its process."""
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
    from flows.prefect_server import prefect_api
    from flows.process_document import process_document
    from tasks.jobs import BackendName, Job
    from tasks.progress import Event, PagesStart, heard_by
    from tasks.settings import load_settings

    cpu = 0.0

    def listen(event: Event) -> None:
        nonlocal cpu
        if isinstance(event, PagesStart):
            cpu = time.process_time()

    job = Job(
        document=str(path),
        pages=f"1-{pages}",
        backend=BackendName.URL,
        model=DEFAULT_MODEL,
        slots=slots,
        output=str(output),
    )
    with peak_memory() as peak:
        async with prefect_api(load_settings()):
            with heard_by(listen):
                state: Any = await process_document(job, return_state=True)  # type: ignore[misc]
        manifest = await state.aresult()
    assert manifest.count("read") == pages, manifest.totals()
    return {
        "seconds": manifest.read_seconds,
        "slots": manifest.endpoint.slots,
        "cpu": time.process_time() - cpu,
        **peak,
    }


@contextmanager
def peak_memory() -> Iterator[dict[str, float]]:
    """The largest resident memory of this process and of its renderer, in MB, looked at ten times a second."""
    peak = {"memory": 0.0, "renderer": 0.0}
    ended = threading.Event()

    def look() -> None:
        me = psutil.Process()
        while not ended.wait(0.1):
            peak["memory"] = max(peak["memory"], me.memory_info().rss / 1e6)
            for child in me.children():
                with suppress(psutil.NoSuchProcess):
                    if "tasks.render_worker" in child.cmdline():
                        peak["renderer"] = max(peak["renderer"], child.memory_info().rss / 1e6)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield peak
    finally:
        ended.set()
        looker.join()


def compare(pages: list[int], seconds: list[float], slots: int, repeats: int) -> list[dict[str, float]]:
    """Flow and bare loop in turns for each size and page time; the median of each."""
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "pages.pdf"
        write_pdf(path, max(pages))
        images = asyncio.run(rendered(path, max(pages)))
        for page_seconds in seconds:
            with serving(page_seconds, slots) as url:
                for count in pages:
                    bares, flows = [], []
                    for turn in range(repeats):
                        output = Path(directory) / f"out-{page_seconds}-{count}-{turn}"
                        flows.append(flow(url, path, count, slots, output))
                        bares.append(asyncio.run(bare(url, images[:count], slots)))
                    flows.sort(key=lambda measured: measured["seconds"])
                    bares.sort()
                    middle, bare_middle = flows[repeats // 2], bares[repeats // 2]
                    rows.append(
                        {
                            "page_seconds": page_seconds,
                            "pages": count,
                            "ideal": math.ceil(count / slots) * page_seconds,
                            "bare": bare_middle,
                            "flow": middle["seconds"],
                            "ratio": middle["seconds"] / bare_middle,
                            "cpu_ms": middle["cpu"] / count * 1000,
                            "memory": middle["memory"],
                            "renderer": middle["renderer"],
                        }
                    )
                    print(json.dumps(rows[-1]), file=sys.stderr)  # noqa: T201
    return rows


def show(rows: list[dict[str, float]], slots: int) -> None:
    """Print the rows, and keep them in build/bench.json."""
    columns = ["s/page", "pages", "ideal, s", "bare loop, s", "flow, s", "flow / bare", "CPU a page, ms", "peak, MB"]
    table = Table(*columns, title=f"{slots} slots")
    for row in rows:
        table.add_row(
            f"{row['page_seconds']:g}",
            f"{row['pages']:.0f}",
            f"{row['ideal']:.1f}",
            f"{row['bare']:.2f}",
            f"{row['flow']:.2f}",
            f"{row['ratio']:.3f}",
            f"{row['cpu_ms']:.1f}",
            f"{row['memory']:.0f} + {row['renderer']:.0f}",
        )
    Console().print(table)
    path = ROOT / "build" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(rows, indent=1))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.makespan")
    parser.add_argument("--pages", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.2, 2.0])
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--flow", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flow:
        measured = asyncio.run(run_flow(options.flow, options.pages[0], options.slots, options.output))
        print(json.dumps(measured))  # noqa: T201
    else:
        show(compare(options.pages, options.seconds, options.slots, options.repeats), options.slots)


if __name__ == "__main__":
    main()
