"""Read from Python that is not asynchronous, or is inside of something that is: a script, a notebook, a sync flow."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Generic, TypeVar, cast

from flows.process_batch import process_batch
from flows.process_document import process_document
from tasks.batches.batch import Batch
from tasks.core.jobs import Job
from tasks.results.batch_result import BatchResult
from tasks.results.document_result import DocumentResult

T = TypeVar("T")


def read(job: Job) -> DocumentResult:
    """Read one PDF and return its result, wherever this is called.

    It runs `process_document` in this process, over the Prefect server that is configured, or Prefect's temporary one;
    within a flow as a run of that flow's. Asynchronous code awaits `process_document(job)` instead and is not held up.

    Raises:
        HearthError: as `process_document`.
    """
    # Prefect's types take the state that a flow returns for what the call returns.
    work: Coroutine[Any, Any, DocumentResult] = cast("Any", process_document)(job)
    return run_to_end(work)


def read_batch(batch: Batch) -> BatchResult:
    """Read all documents of a batch and return its result, as `read` does.

    Raises:
        HearthError: as `process_batch`.
    """
    work: Coroutine[Any, Any, BatchResult] = cast("Any", process_batch)(batch)
    return run_to_end(work)


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return what it returns, also where an event loop is running already.

    That loop waits meanwhile: the work has a thread and a loop of its own, and knows the flow that it is called in.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    runner = _Runner(work)
    with ThreadPoolExecutor(1, thread_name_prefix="hearth-run") as thread:
        running = thread.submit(copy_context().run, runner.run)
        try:
            return running.result()
        except BaseException:
            runner.cancel()  # Ctrl-C: the thread is waited for
            raise


class _Runner(Generic[T]):
    """Runs a coroutine in another thread, from which it can be cancelled."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self._work = work
        self._task: asyncio.Task[Any] | None = None

    def run(self) -> T:
        return asyncio.run(self._watched())

    async def _watched(self) -> T:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        return await self._work

    def cancel(self) -> None:
        if self._task is not None and not self._task.done():
            self._loop.call_soon_threadsafe(self._task.cancel)
