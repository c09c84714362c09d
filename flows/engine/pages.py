"""The steps as Prefect keeps them: the warm-up, and the pages, each a task run of its own or in blocks of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import CancelledRun
from prefect.logging import get_run_logger
from prefect.states import Cancelled

from flows.engine.block import Block
from flows.orchestrator.expected_errors import QUIET
from flows.orchestrator.pausing import raise_if_paused
from flows.ui.artifacts import LAST_SECONDS, MOST_SINGLE, SHOWN_SECONDS, PageTable
from tasks.backends.base import Allocation
from tasks.core.aio import WorkLoop
from tasks.core.errors import HearthError, PageError
from tasks.ollama.client import GenerateRequest
from tasks.reading.page_reader import PageReader
from tasks.serving.admission_limiter import AdmissionClosedError, AdmissionLimiter
from tasks.serving.warmup import Warmth, warm
from tasks.settings.reading import WarmSettings
from tasks.settings.settings import load_settings

# A page as a task run costs Prefect's server 14 ms, 3 events and 19 kB, and this process 13 ms; in blocks of 25 it
# costs 3.3 ms, 0.2 events, 1.3 kB and 7.4 ms, and little less in blocks of 100 (docs/architecture/performance.md).
# Up to MOST_SINGLE pages that is no burden.
BLOCK = 25

_RETRY_SECONDS = 0.5

T = TypeVar("T")


@task(name="warm-up", task_run_name="warm up {request.model}", cache_policy=NO_CACHE, persist_result=False, **QUIET)
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


async def read_pages(
    work: WorkLoop,
    reader: PageReader,
    numbers: Sequence[int],
    window: AdmissionLimiter,
    all_begun: Callable[[], None] = lambda: None,
) -> None:
    """Read pages in order, as the window lets them begin, carried by task runs. A failed page leaves the others be.

    When the window is closed no more are begun. `all_begun` is called when nothing is left to begin.

    Raises:
        HearthError: what ends the run; pages under way were cancelled.
    """
    size = 1 if len(numbers) <= MOST_SINGLE else BLOCK
    excerpts = load_settings().excerpts
    async with together() as group:
        with window.expecting(len(numbers)) as begun:
            for at in range(0, len(numbers), size):
                block = Block(numbers[at : at + size])
                if size > 1:
                    block.table = PageTable(f"{reader.document} {block}", excerpts=excerpts)
                read = partial(_read_page, work, reader, block)
                try:
                    for number in block.numbers:
                        await window.acquire()
                        begun()
                        block.begin(number, read, window.release)
                        if number == block.numbers[0]:
                            carried = group.create_task(_carried(reader, block))
                            # Not in the task: one that is cancelled before it runs would not come to it.
                            carried.add_done_callback(partial(_cut_off, block))
                except AdmissionClosedError:
                    block.close()
                    break
            all_begun()


async def _carried(reader: PageReader, block: Block) -> None:
    """Have a task run carry a block from its first page's slot on."""
    await block.at_work()
    await as_part(read_block(reader, block))


def _cut_off(block: Block, _carried: asyncio.Task[None]) -> None:
    block.cut_off()


@task(
    name="read-pages", task_run_name="{reader.document} {block}", cache_policy=NO_CACHE, persist_result=False, **QUIET
)
async def read_block(reader: PageReader, block: Block) -> State[None]:
    """Read a block's pages, each as soon as it may begin, and store each result at once; show them as a table."""
    block.log = get_run_logger()
    seconds = SHOWN_SECONDS
    try:
        await block.ended()
        seconds = LAST_SECONDS  # pages of other blocks do not wait for it, nor does a cancellation
    except asyncio.CancelledError:
        return cut_off()
    finally:
        if block.table is not None:
            await block.table.show(seconds)
    return block.state()


async def _read_page(work: WorkLoop, reader: PageReader, block: Block, number: int) -> None:
    for attempt in range(1, reader.attempts + 1):
        try:
            await work.run(partial(reader.read, number, attempt))
        except PageError as error:
            if error.final:
                block.log.warning("Page %d failed: %s", number, error)
                return
            block.log.info("Page %d: %s It is read again in %g s.", number, error, _RETRY_SECONDS)
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            return


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
