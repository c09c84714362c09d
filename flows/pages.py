"""The steps as Prefect keeps them: the warm-up, and a page task for each page, mapped over the slots."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import task_run
from prefect.tasks import Task

from tasks.backends import Endpoint
from tasks.departure import Departure
from tasks.errors import HearthError, PageError
from tasks.plan import Prepared
from tasks.read_page import PageReader
from tasks.settings import Settings
from tasks.warm import Warmth, warm
from tasks.work_loop import WorkLoop

_RETRY_SECONDS = 0.5


@task(name="warm-up", task_run_name="warm up {prepared.plan.model}", cache_policy=NO_CACHE, persist_result=False)
async def warm_up(prepared: Prepared, endpoint: Endpoint, settings: Settings) -> Warmth:
    """Get the plan's model warm on a server; see `tasks.warm`."""
    async with endpoint.client(settings.warm.load_seconds) as client:
        request = prepared.request(settings.idle_minutes * 60)
        require_gpu = prepared.plan.require_gpu
        return await warm(client, request, endpoint.slots, settings.warm, require_gpu=require_gpu)


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
async def read_page(work: WorkLoop, reader: PageReader, number: int) -> None:
    """Read one page and store its result; see `PageReader.read`. Prefect's retries are the page's attempts."""
    attempt = task_run.run_count
    await work.run(lambda: reader.read(number, attempt))


async def read_pages(
    work: WorkLoop, reader: PageReader, numbers: Iterable[int], workers: int, departure: Departure
) -> None:
    """Map the page task over the numbers, `workers` of them under way at once. A failed page leaves the others be.

    When the machine's departure is announced no more pages are begun; those under way end.
    """
    todo = iter(numbers)
    read = read_page.with_options(retries=reader.attempts - 1)

    async def worker() -> None:
        while not departure.announced and (number := next(todo, None)) is not None:
            with suppress(PageError):
                await read(work, reader, number)

    trouble: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker())
    except ExceptionGroup as met:
        # All workers met the same trouble; it is told once.
        trouble = next((error for error in met.exceptions if isinstance(error, HearthError)), met)
    if trouble is not None:
        raise trouble
