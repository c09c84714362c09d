"""Read documents from synchronous Python: a script, a notebook, or a flow that is not asynchronous."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar, cast

from flows.process_batch import process_batch
from flows.process_document import process_document
from tasks.batches.batch import Batch
from tasks.core.jobs import Job
from tasks.results.batch_result import BatchResult
from tasks.results.document_result import DocumentResult

T = TypeVar("T")


def read(job: Job) -> DocumentResult:
    """Read one PDF and return its result, from any synchronous code.

    `process_document` runs in this process, with the configured Prefect server or Prefect's temporary one; within
    another flow, it is a subflow. Asynchronous code should await `process_document(job)` instead, which does not block
    its event loop.

    Raises:
        HearthError: as `process_document`.
    """
    # Prefect's types confuse the returned state with the result of the call.
    work: Coroutine[Any, Any, DocumentResult] = cast("Any", process_document)(job)
    return run_to_end(work)


def read_batch(batch: Batch) -> BatchResult:
    """Read all documents of a batch and return its result, as `read` does."""
    work: Coroutine[Any, Any, BatchResult] = cast("Any", process_batch)(batch)
    return run_to_end(work)


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine and return its result, even if an event loop is already running.

    That loop is then blocked: the coroutine runs in a loop and a thread of its own, in the caller's context. If the
    caller is interrupted, the coroutine is cancelled, and its end is awaited.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    tasks: list[asyncio.Task[Any] | None] = []

    async def run() -> T:
        tasks.append(asyncio.current_task())
        return await work

    with ThreadPoolExecutor(1, thread_name_prefix="hearth-run") as thread:
        running = thread.submit(copy_context().run, asyncio.run, run())
        try:
            return running.result()
        except BaseException:
            for task in tasks:
                if task is not None and not task.done():  # Ctrl-C: the thread is awaited on leaving the block
                    task.get_loop().call_soon_threadsafe(task.cancel)
            raise
