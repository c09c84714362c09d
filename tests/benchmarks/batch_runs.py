"""The ways of reading a folder of one-page documents that `batch` measures, each in a process of its own.

`python -m tests.benchmarks.batch_runs NAME WORK`, the work as JSON with the fields of `Folder`, prints what it took.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import pymupdf

from tasks.core.options import Options
from tasks.embedded.models import DEFAULT_MODEL
from tasks.ollama.schema import page_body
from tasks.runs.setup import choose_setup
from tasks.settings.settings import Settings

Figures = dict[str, float]


@dataclass(frozen=True)
class Folder:
    """What is read, where the results go, and how many minutes after its start a run begins no more pages."""

    url: str
    inbox: str
    output: str
    slots: int
    minutes: float | None = None


def flow(folder: Folder) -> Figures:
    """The flow for a batch, in a process that has Prefect imported and its server up."""
    return asyncio.run(_flow(folder))


async def _flow(folder: Folder) -> Figures:
    os.environ["HEARTH_URL"] = folder.url
    from flows.process_batch import process_batch
    from tasks.batches.batch import Batch
    from tasks.core.options import BackendName

    batch = Batch(
        sources=(folder.inbox,),
        backend=BackendName.URL,
        model=DEFAULT_MODEL,
        slots=folder.slots,
        output=folder.output,
        max_minutes=folder.minutes,
    )
    with used() as figures:
        state: Any = await process_batch(batch, return_state=True)  # type: ignore[misc]
    result = await state.aresult()
    return figures | {"read": sum(row.read_now for row in result.rows)}


def bare(folder: Folder) -> Figures:
    """A loop that opens, renders, posts and stores each document, and does nothing else."""
    renderer = ProcessPoolExecutor(1, get_context("spawn"))
    renderer.submit(os.getpid).result()  # it starts before the clock does
    with used() as figures, renderer:
        documents = sorted(Path(folder.inbox).iterdir())
        Path(folder.output).mkdir()
        asyncio.run(_bare(folder, documents, renderer))
    return figures | {"read": len(documents)}


async def _bare(folder: Folder, documents: list[Path], renderer: ProcessPoolExecutor) -> None:
    setup = choose_setup(Options(model=DEFAULT_MODEL), Settings())
    request = setup.call.request(Settings().idle_minutes * 60)
    free, ahead = asyncio.Semaphore(folder.slots), asyncio.Semaphore(folder.slots + 4)
    loop, output = asyncio.get_running_loop(), Path(folder.output)
    async with httpx.AsyncClient(base_url=folder.url, timeout=3600, verify=False, limits=httpx.Limits()) as client:

        async def read(path: Path) -> None:
            async with ahead:
                png = await loop.run_in_executor(renderer, render, str(path), setup.call.longest_side)
                async with free:
                    response = await client.post("/api/generate", json=page_body(request, setup.call.prompt, (png,)))
                text = "".join(json.loads(line)["response"] for line in response.raise_for_status().iter_lines())
                await asyncio.to_thread((output / f"{path.stem}.md").write_text, text)

        await asyncio.gather(*map(read, documents))


def render(path: str, side: int) -> bytes:
    """The image of a document's page, grey, its longest side in pixels."""
    with pymupdf.open(path) as pdf:
        page = pdf[0]
        scale = side / max(page.rect.width, page.rect.height)
        png: bytes = page.get_pixmap(matrix=pymupdf.Matrix(scale, scale), colorspace=pymupdf.csGRAY).tobytes("png")
        return png


@contextmanager
def used() -> Iterator[Figures]:
    """When something began and ended, and what it used of the processor, in seconds."""
    figures: Figures = {"began": time.monotonic()}
    mine, theirs = time.process_time(), _children()
    try:
        yield figures
    finally:
        figures["ended"] = time.monotonic()
        figures["cpu"], figures["renderer_cpu"] = time.process_time() - mine, _children() - theirs


def _children() -> float:
    """Processor seconds of the processes that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


if __name__ == "__main__":
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    run = {"flow": flow, "bare": bare}[sys.argv[1]]
    print(json.dumps(run(Folder(**json.loads(sys.argv[2])))))  # noqa: T201
