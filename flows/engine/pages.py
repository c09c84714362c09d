"""The steps as Prefect keeps them: the warm-up, and the pages, each a task run of its own or in blocks of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.exceptions import CancelledRun
from prefect.logging import get_run_logger
from prefect.runtime import task_run
from prefect.states import Cancelled
from prefect.tasks import Task

from flows.orchestrator.pausing import raise_if_paused
from flows.ui.artifacts import LAST_SECONDS, MOST_SINGLE, SHOWN_SECONDS, PageTable
from tasks.backends.base import Allocation
from tasks.core.aio import WorkLoop
from tasks.core.errors import HearthError, PageError
from tasks.core.events import subscribe
from tasks.ollama.client import GenerateRequest
from tasks.reading.page_reader import PageReader
from tasks.serving.admission_limiter import AdmissionClosedError, AdmissionLimiter
from tasks.serving.warmup import Warmth, warm
from tasks.settings.reading import WarmSettings
from tasks.settings.settings import load_settings

# A page as a task run costs Prefect's server 14 ms, 3 events and 19 kB, and this process 13 ms; in blocks of 25 it
# costs 3.3 ms, 0.2 events, 1.3 kB and 7.4 ms, and little less in blocks of 100 (docs/performance.md). Up to MOST_SINGLE
# pages that is no burden.
BLOCK = 25

_RETRY_SECONDS = 0.5

T = TypeVar("T")


@task(name="warm-up", task_run_name="warm up {request.model}", cache_policy=NO_CACHE, persist_result=False)
async def warm_up(
    request: GenerateRequest, allocation: Allocation, limits: WarmSettings, *, require_gpu: bool
) -> Warmth:
    """Get a model warm on a server; see `tasks.serving.warmup`."""
    allocation.suits(request)
    async with allocation.endpoint.client(limits.load_seconds) as client:
        return await warm(
            client,
            request,
            allocation.slots,
            limits,
            ledger=allocation.ledger,
            require_gpu=require_gpu,
            parts=allocation.parts,
            started_for=allocation.started_for,
        )


class Block:
    """Pages in a row that one task run carries; they are begun one by one, and it ends when none is left to begin."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self.numbers = numbers
        self._begun: asyncio.Queue[int | None] = asyncio.Queue()

    def begin(self, number: int | None) -> None:
        """Have a page read; None: no more will come."""
        self._begun.put_nowait(number)

    async def begun(self) -> AsyncIterator[int]:
        """The pages, as they begin."""
        for _ in self.numbers:
            number = await self._begun.get()
            if number is None:
                return
            yield number

    def __str__(self) -> str:
        first, last, count = self.numbers[0], self.numbers[-1], len(self.numbers)
        told = f"page {first}" if count == 1 else f"pages {first}-{last}"
        return told if last - first < count else f"{told}, {count} of them"


async def read_pages(
    work: WorkLoop,
    reader: PageReader,
    numbers: Sequence[int],
    window: AdmissionLimiter,
    all_begun: Callable[[], None] = lambda: None,
) -> None:
    """Map page tasks over the numbers, in order, as the window lets them begin. A failed page leaves the others be.

    When the window is closed no more are begun. `all_begun` is called when nothing is left to begin.

    Raises:
        HearthError: what ends the run; pages under way were cancelled.
    """
    read_single = read_page.with_options(retries=reader.attempts - 1)

    async def single(block: Block) -> None:
        try:
            with suppress(PageError):
                await as_part(read_single(work, reader, block.numbers[0]))
        finally:
            window.release()

    size = 1 if len(numbers) <= MOST_SINGLE else BLOCK
    async with together() as group:
        with window.expecting(len(numbers)) as begun:
            for at in range(0, len(numbers), size):
                block = Block(numbers[at : at + size])
                try:
                    for number in block.numbers:
                        await window.acquire()
                        begun()
                        block.begin(number)
                        if number == block.numbers[0]:
                            many = read_block(work, reader, block, window) if size > 1 else None
                            group.create_task(single(block) if many is None else as_part(many))
                except AdmissionClosedError:
                    block.begin(None)
                    break
            all_begun()


async def _may_help(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether reading the page again may help; what else goes wrong ends the run."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, PageError) and not error.final


@task(
    name="read-page",
    task_run_name="{reader.document} page {number}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_delay_seconds=_RETRY_SECONDS,
    retry_condition_fn=_may_help,
)
async def read_page(work: WorkLoop, reader: PageReader, number: int) -> State[None] | None:
    """Read one page and store its result; see `PageReader.read`. Prefect's retries are the page's attempts."""
    attempt = task_run.run_count
    try:
        await work.run(lambda: reader.read(number, attempt))
    except asyncio.CancelledError:
        return cut_off()
    return None


@task(name="read-pages", task_run_name="{reader.document} {block}", cache_policy=NO_CACHE, persist_result=False)
async def read_block(work: WorkLoop, reader: PageReader, block: Block, window: AdmissionLimiter) -> State[None]:
    """Read a block's pages, each as soon as it may begin, and store each result at once; show them as a table."""
    table = PageTable(f"{reader.document} {block}", excerpts=load_settings().excerpts)
    seconds = SHOWN_SECONDS
    try:
        with subscribe(table):
            async with together() as group:
                async for number in block.begun():
                    group.create_task(_read_in_block(work, reader, number, window))
        seconds = LAST_SECONDS  # pages of other blocks do not wait for it, nor does a cancellation
    except asyncio.CancelledError:
        return cut_off()
    finally:
        await table.show(seconds)
    return table.state()


async def _read_in_block(work: WorkLoop, reader: PageReader, number: int, window: AdmissionLimiter) -> None:
    try:
        for attempt in range(1, reader.attempts + 1):
            try:
                return await work.run(partial(reader.read, number, attempt))
            except PageError as error:
                if error.final:
                    get_run_logger().warning("Page %d failed: %s", number, error)
                    return None
                get_run_logger().info("Page %d: %s It is read again in %g s.", number, error, _RETRY_SECONDS)
                await asyncio.sleep(_RETRY_SECONDS)
    finally:
        window.release()


def cut_off() -> State[Any]:
    """How a task run ends whose run was cancelled or paused; Prefect itself would take it for crashed."""
    return Cancelled(message="the run was ended or paused meanwhile; what is left is read when it goes on")


async def as_part(run: Coroutine[Any, Any, T]) -> T:
    """Await a task run; one that was cut off is a cancelled task to the group that it is in."""
    try:
        return await run
    except CancelledRun:
        raise_if_paused()
        raise asyncio.CancelledError from None


@asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks; the trouble that all of them meet is told once, and a pause is one of the run."""
    trouble: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as met:
        raise_if_paused()
        trouble = next((error for error in met.exceptions if isinstance(error, HearthError)), met)
    if trouble is not None:
        raise trouble
