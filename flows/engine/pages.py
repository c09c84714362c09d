"""Prefect's task runs: one for the warm-up, and one for each page or block of pages."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

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
from tasks.inference.schema import GenerateRequest, ModelDetails
from tasks.reading.page_reader import PageReader
from tasks.serving.admission_limiter import Admission, AdmissionClosedError
from tasks.serving.warmup import Adapt, Warmth, warm
from tasks.settings.reading import WarmSettings
from tasks.settings.settings import load_settings

BLOCK = 25
"""Pages per task run if a document has more than MOST_SINGLE pages.

A page as a task run costs Prefect's server 14 ms, 3 events and 19 kB, and this process 13 ms; in blocks of 25 it costs
3.3 ms, 0.2 events, 1.3 kB and 7.4 ms, and little less in blocks of 100 (docs/architecture/performance.md).
"""

RETRY_SECONDS = 0.5
"""Pause before a page is read again."""


@task(name="warm-up", task_run_name="warm up {request.model}", cache_policy=NO_CACHE, persist_result=False, **QUIET)
async def warm_up(
    request: GenerateRequest,
    allocation: Allocation,
    limits: WarmSettings,
    *,
    require_gpu: bool,
    adapt: Adapt | None = None,
) -> Warmth:
    """Warm a model up on a server; see `tasks.serving.warmup`."""

    def adapted(details: ModelDetails) -> GenerateRequest:
        other = adapt(details) if adapt else request
        allocation.lease.check_request(other)
        return other

    allocation.lease.check_request(request)
    async with allocation.endpoint.client(limits.load_seconds) as client:
        return await warm(
            client,
            request,
            allocation.slots,
            limits,
            ledger=allocation.ledger,
            require_gpu=require_gpu,
            started_for=allocation.lease.started_for,
            adapt=adapted,
        )


async def read_pages(
    work: WorkLoop, reader: PageReader, numbers: Sequence[int], admission: Admission, *, single: bool = True
) -> None:
    """Read pages in order, each as soon as it is admitted, in blocks of 1 or 25 pages, each of which is a task run.

    A page that fails does not affect the others. When no more pages are admitted, the rest are left unread. Pages that
    would be task runs of their own are none if not `single`: of a document that Prefect shows as one of many.

    Raises:
        HearthError: the run cannot go on; pages in flight were cancelled.
    """
    few = len(numbers) <= MOST_SINGLE
    size = BLOCK if not few else 1 if single else len(numbers)
    async with task_group() as group:
        for at in range(0, len(numbers), size):
            block = Block(numbers[at : at + size])
            if not few:
                block.table = PageTable(f"{reader.document} {block}", excerpts=load_settings().excerpts)
            try:
                for number in block.numbers:
                    await admission.acquire()
                    block.begin(number, partial(_read_page, work, reader, block, admission), admission.release)
                    if number == block.numbers[0]:
                        shown = single or not few
                        running = group.create_task(_run_block(reader, block) if shown else block.wait_ended())
                        # Not in the task, which may be cancelled before it starts.
                        running.add_done_callback(block.cancel_pages)
            except AdmissionClosedError:
                block.close()
                break
        admission.end()


async def _run_block(reader: PageReader, block: Block) -> None:
    """Run a block as a task run, which begins when its first page has a slot."""
    await block.wait_begun()
    try:
        await read_block(reader, block)
    except CancelledRun:
        raise_if_paused()
        raise asyncio.CancelledError from None


@task(
    name="read-pages", task_run_name="{reader.document} {block}", cache_policy=NO_CACHE, persist_result=False, **QUIET
)
async def read_block(reader: PageReader, block: Block) -> State[None]:
    """Wait for a block's pages, whose results are stored one by one, and show them as a table."""
    block.log = get_run_logger()
    seconds = SHOWN_SECONDS
    try:
        await block.wait_ended()
        seconds = LAST_SECONDS  # pages of other blocks do not wait for the table, nor does a cancellation
    except asyncio.CancelledError:
        return cancelled_task()
    finally:
        if block.table is not None:
            await block.table.show(seconds)
    return block.state()


async def _read_page(work: WorkLoop, reader: PageReader, block: Block, admission: Admission, number: int) -> None:
    for attempt in range(1, reader.attempts + 1):
        try:
            await work.run(partial(reader.read, number, attempt))
        except PageError as error:
            if error.final:
                block.log.warning("Page %d of %s failed: %s", number, reader.document, error)
                return
            block.log.info("Page %d of %s: %s It is read again in %g s.", number, reader.document, error, RETRY_SECONDS)
            await asyncio.sleep(RETRY_SECONDS)
        except Exception:
            admission.stop()  # it ends the run, which may take Prefect a moment
            raise
        else:
            return


def cancelled_task() -> State[Any]:
    """Return the state of a task run whose flow run was cancelled or paused; Prefect itself would call it crashed."""
    return Cancelled(message="the run was ended or paused meanwhile; what is left is read when it goes on")


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Yield a task group that raises the first of Hearth's errors alone, or a pause if the run was paused."""
    error: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as errors:
        raise_if_paused()
        error = next((each for each in errors.exceptions if isinstance(each, HearthError)), errors)
    if error is not None:
        raise error
