"""The ways of driving a page server that are measured, each in a process of its own.

`python -m tests.benchmarks.rivals NAME WORK`, the work as JSON with the fields of `Work`, prints when its pages began
and ended on the monotonic clock, and what it used. All but the flow read images that were rendered before, and drop
the answers. Nothing here retries.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from tasks.core.options import Options
from tasks.embedded.models import DEFAULT_MODEL
from tasks.ollama.schema import page_body
from tasks.runs.setup import choose_setup
from tasks.settings.settings import Settings


@dataclass(frozen=True)
class Work:
    """What every rival is given."""

    url: str
    images: Path
    pdf: Path
    pages: int
    slots: int
    output: Path

    def body(self, number: int) -> dict[str, Any]:
        """The request of one page: the flow's own, by its defaults."""
        return body(str(self.images), number)


def body(images: str, number: int) -> dict[str, Any]:
    """The request of one page."""
    setup = choose_setup(Options(model=DEFAULT_MODEL), Settings())
    request = setup.call.request(Settings().idle_minutes * 60)
    return page_body(request, setup.call.prompt, ((Path(images) / f"{number:05}.png").read_bytes(),))


def flow(work: Work) -> dict[str, float]:
    """Hearth's flow: it renders, reads, judges and stores each page."""
    return asyncio.run(_flow(work))


async def _flow(work: Work) -> dict[str, float]:
    os.environ["HEARTH_URL"] = work.url
    from flows.process_document import process_document
    from tasks.core.events import Event, PagesStarted, StepDone, WarmStep, subscribe
    from tasks.core.jobs import BackendName, Job

    started = cpu = loaded = 0.0

    def listen(event: Event) -> None:
        nonlocal started, cpu, loaded
        if isinstance(event, StepDone) and event.step is WarmStep.LOAD:
            loaded = time.monotonic()
        if isinstance(event, PagesStarted):
            started, cpu = time.monotonic(), time.process_time()

    job = Job(
        document=str(work.pdf),
        pages=f"1-{work.pages}",
        backend=BackendName.URL,
        model=DEFAULT_MODEL,
        slots=work.slots,
        output=str(work.output),
    )
    with usage() as used:
        with subscribe(listen):
            state: Any = await process_document(job, return_state=True)  # type: ignore[misc]
        cpu = time.process_time() - cpu
    manifest = await state.aresult()
    if manifest.count("read") != work.pages or manifest.endpoint.slots != work.slots:
        raise SystemExit(f"the flow read {manifest.totals()}")
    ended = started + manifest.read_seconds
    return {"started": started, "ended": ended, "cpu": cpu, "warm": started - loaded, **used}


def bare(work: Work) -> dict[str, float]:
    """A loop of asyncio and httpx."""
    return asyncio.run(_bare(work))


async def _bare(work: Work) -> dict[str, float]:
    free = asyncio.Semaphore(work.slots)
    async with httpx.AsyncClient(base_url=work.url, timeout=3600, verify=False, limits=httpx.Limits()) as client:

        async def one(number: int) -> None:
            async with free:
                response = await client.post("/api/generate", json=work.body(number))
                response.raise_for_status()

        with timed() as measured:
            await asyncio.gather(*(one(number) for number in range(1, work.pages + 1)))
    return measured


def prefect_map(work: Work) -> dict[str, float]:
    """A Prefect flow that maps a task over the pages, with as many threads as there are slots."""
    from prefect import flow, task
    from prefect.task_runners import ThreadPoolTaskRunner

    client = httpx.Client(base_url=work.url, timeout=3600, verify=False)

    @task
    def read(number: int, images: str) -> str:
        return str(client.post("/api/generate", json=body(images, number)).raise_for_status().json()["response"])

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=work.slots))
    def pages() -> dict[str, float]:
        with timed() as measured:
            texts = read.map(range(1, work.pages + 1), str(work.images)).result()
        assert len(texts) == work.pages
        return measured

    return pages()


def prefect_limit(work: Work) -> dict[str, float]:
    """The same, the slots kept by a global concurrency limit of Prefect's instead of by the number of threads."""
    from prefect import flow, get_client, task
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.concurrency.sync import concurrency
    from prefect.task_runners import ThreadPoolTaskRunner

    client = httpx.Client(base_url=work.url, timeout=3600, verify=False)
    name = f"page-slots-{work.slots}-{work.pages}-{os.getpid()}"
    with get_client(sync_client=True) as api:
        api.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=work.slots))

    @task
    def read(number: int, images: str) -> str:
        with concurrency(name, occupy=1, strict=True):
            return str(client.post("/api/generate", json=body(images, number)).raise_for_status().json()["response"])

    @flow(task_runner=ThreadPoolTaskRunner())
    def pages() -> dict[str, float]:
        with timed() as measured:
            texts = read.map(range(1, work.pages + 1), str(work.images)).result()
        assert len(texts) == work.pages
        return measured

    return pages()


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """The time and the use of what is done in it."""
    with usage() as measured:
        measured["started"], cpu = time.monotonic(), time.process_time()
        yield measured
        measured["ended"] = time.monotonic()
        measured["cpu"] = time.process_time() - cpu


@contextmanager
def usage() -> Iterator[dict[str, float]]:
    """Peak memory of this process and of the flow's renderer, in MB, and the renderer's processor time, in seconds."""
    used = {"memory": 0.0, "renderer": 0.0, "renderer_cpu": 0.0}
    ended = threading.Event()

    def look() -> None:
        me = psutil.Process()
        renderer: psutil.Process | None = None
        while not ended.wait(0.1):
            used["memory"] = max(used["memory"], me.memory_info().rss / 1e6)
            with suppress(psutil.NoSuchProcess, IndexError):
                if renderer is None:
                    renderer = next((c for c in me.children() if "tasks.documents.sandbox.worker" in c.cmdline()), None)
                if renderer is not None:
                    used["renderer"] = max(used["renderer"], renderer.memory_info().rss / 1e6)
                    used["renderer_cpu"] = max(used["renderer_cpu"], sum(renderer.cpu_times()[:2]))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield used
    finally:
        ended.set()
        looker.join()


RIVALS: dict[str, Callable[[Work], dict[str, float]]] = {
    "flow": flow,
    "bare": bare,
    "map": prefect_map,
    "limit": prefect_limit,
}

if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    for path in ("images", "pdf", "output"):
        given[path] = Path(given[path])
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    print(json.dumps(RIVALS[sys.argv[1]](Work(**given))))  # noqa: T201
