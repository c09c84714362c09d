"""How long the flow takes over a real llama-server, against a bare loop of the same requests, over both APIs.

`python -m tests.benchmarks.real_engine` reads the same pages in turns: with `hearth read`, and with a loop that sends
the pages' requests and drops the answers. The model's weights are made up, its images, slots and queue are real. The
ideal is list scheduling of the durations that the engine itself told in the bare loop: each page, in order, goes to the
slot that is free first. Ollama's API is that of the stand-in over the same llama-server (tests/support/ollama).
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tasks.core.options import Options
from tasks.inference.api import Api
from tasks.inference.schema import Answer
from tasks.ollama.address import free_port
from tasks.runs.setup import choose_setup
from tasks.serving.clients import new_client
from tasks.settings.settings import Settings
from tests.benchmarks.makespan import render
from tests.benchmarks.page_times import write_pdf
from tests.benchmarks.section import Section
from tests.benchmarks.servers import ROOT, prefect_server
from tests.support.llama_server import llama_server
from tests.support.ollama.stand_in.program import Program, installed
from tests.support.tools import LLAMA_SERVER

MODEL = "chain"
LONGEST_SIDE = 448
"""Pixels: on a CPU, larger images take far longer than the text, and the engine works on one at a time."""
CONTEXT = 4096
TOKENS = 200
"""More than the model's answer has."""


@dataclass(frozen=True)
class Turn:
    """One reading of all pages by the flow and by the loop, in seconds; `found` slots by the flow."""

    flow: float
    bare: float
    ideal: float
    found: int


@contextmanager
def engine(api: Api, slots: int, directory: Path, program: Program) -> Iterator[str]:
    """Yield the URL of a real engine."""
    if api is Api.OPENAI:
        with llama_server(directory / "llama.log", slots=slots, context=CONTEXT) as server:
            yield server.url
    else:
        host = f"127.0.0.1:{free_port()}"
        with program.serving(host, slots):
            yield f"http://{host}"


async def loop(api: Api, url: str, images: list[bytes], slots: int) -> tuple[float, list[Answer]]:
    """Send the flow's own requests over so many slots; return the seconds and the answers."""
    call = choose_setup(Options(model=MODEL, num_ctx=CONTEXT, num_predict=TOKENS), Settings()).call
    request = call.request(Settings().idle_minutes * 60)
    free = asyncio.Semaphore(slots)
    async with new_client(api, url, timeout=3600) as client:
        await client.load(request)

        async def read(image: bytes) -> Answer:
            async with free:
                return await client.generate(request, call.prompt, (image,))

        started = time.perf_counter()
        answers = await asyncio.gather(*map(read, images))
    return time.perf_counter() - started, answers


def flow(url: str, pdf: Path, slots: int, output: Path) -> tuple[float, int]:
    """Have `hearth read` read the pages; return the seconds since its first page began, and the slots that it found."""
    options = ("--model", MODEL, "--num-ctx", str(CONTEXT), "--num-predict", str(TOKENS), "--slots", str(slots))
    command = [sys.executable, "-m", "flows.cli.main", "read", str(pdf), *options, "--output", str(output), "--json"]
    environment = {**os.environ, "HEARTH_URL": url}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"hearth read failed: {done.stderr[-3000:]}")
    told = json.loads(done.stdout)
    return told["read_seconds"], told["slots"]


def ideal(answers: list[Answer], slots: int) -> float:
    """Return the makespan of list scheduling of the engine's own durations, seconds."""
    free = [0.0] * slots
    for answer in answers:
        heapq.heapreplace(free, free[0] + answer.timing.prompt_eval + answer.timing.eval)
    return max(free)


def measure(api: Api, slots: int, pages: int, repeats: int, directory: Path) -> list[Turn]:
    """Read the pages in turns."""
    images = [(directory / "images" / f"{number:05}.png").read_bytes() for number in range(1, pages + 1)]
    turns = []
    with engine(api, slots, directory, installed(directory)) as url:
        asyncio.run(loop(api, url, images[:slots], slots))  # what servers do but once
        for turn in range(repeats):
            bare, answers = asyncio.run(loop(api, url, images, slots))
            read, found = flow(url, directory / "pages.pdf", slots, directory / f"{api}-{slots}-{turn}")
            turns.append(Turn(read, bare, ideal(answers, slots), found))
    return turns


def report(rows: dict[tuple[Api, int], list[Turn]], pages: int) -> None:
    """Print the medians."""
    title = f"{pages} pages, real llama-server: seconds (median), and ratios in one run (median, smallest to largest)"
    columns = ("API", "slots", "found", "flow", "loop", "ideal", "flow / loop", "flow / ideal")
    cells = []
    for (api, slots), turns in rows.items():
        ratios = [sorted(turn.flow / other for turn, other in pairs) for pairs in (
            [(turn, turn.bare) for turn in turns], [(turn, turn.ideal) for turn in turns])]  # fmt: skip
        seconds = (median(getattr(turn, name) for turn in turns) for name in ("flow", "bare", "ideal"))
        shown = (f"{median(each):.2f} ({each[0]:.2f}-{each[-1]:.2f})" for each in ratios)
        found = ", ".join(sorted({str(turn.found) for turn in turns}))
        cells.append((api, str(slots), found, *(f"{each:.1f}" for each in seconds), *shown))
    Section("real-engine", title, columns, cells).show()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.real_engine")
    parser.add_argument("--pages", type=int, default=24)
    parser.add_argument("--slots", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--repeats", type=int, default=3, help="turns; the table shows the median and the range")
    parser.add_argument("--apis", nargs="+", choices=["openai", "ollama"], default=["openai", "ollama"])
    options = parser.parse_args()
    if not LLAMA_SERVER.path:
        print(f"The real engine is left out: {LLAMA_SERVER.missing}", file=sys.stderr)  # noqa: T201
        return
    os.environ["HEARTH_READ__LONGEST_SIDE"] = str(LONGEST_SIDE)
    rows: dict[tuple[Api, int], list[Turn]] = {}
    with tempfile.TemporaryDirectory(prefix="hearth-bench-") as name:
        directory = Path(name)
        write_pdf(directory / "pages.pdf", options.pages)
        (directory / "images").mkdir()
        asyncio.run(render(directory / "pages.pdf", options.pages, directory / "images"))
        with prefect_server(directory):
            for api in map(Api, options.apis):
                for slots in options.slots:
                    rows[api, slots] = measure(api, slots, options.pages, options.repeats, directory)
                    print(api, slots, rows[api, slots], file=sys.stderr)  # noqa: T201
    report(rows, options.pages)


if __name__ == "__main__":
    main()
