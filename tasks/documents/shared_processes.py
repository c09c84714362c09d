"""Sandboxed processes that the documents of one run share: starting one takes longer than opening most documents."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar

from tasks.core.semaphore import SharedSemaphore
from tasks.documents.document_file import DocumentFile
from tasks.documents.render_process import RenderProcess

MOST_DOCUMENTS = 500
"""Documents that a process opens before another replaces it."""
SLOW_SECONDS = 2.0
"""A page usually takes 0.01 to 0.1 s. Up to _MOST_SLOW processes that take longer than this do not block others."""
_MOST_SLOW = 2
_MOST_AT_ONCE = min(8, max(2, os.cpu_count() or 1))


class RenderProcesses:
    """A pool of processes, about as many as this machine has processors, each with one document open at a time.

    They are used from any thread and event loop. A document gets the process in which it is still open, if that is
    free. One that is unsound or has opened enough documents is ended, and so are those that slow ones made necessary.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: list[RenderProcess] = []
        self._places = SharedSemaphore(_MOST_AT_ONCE)
        self._slow, self._alive = 0, 0
        self._open, self._started = True, False

    async def start(self) -> None:
        """Start the first process, unless it was started: it takes a third of a second."""
        if not self._started:
            async with self.process() as process:
                await process.start()

    @asynccontextmanager
    async def process(
        self, document: DocumentFile | None = None, when_slow: Callable[[], None] = lambda: None
    ) -> AsyncIterator[RenderProcess]:
        """Wait for a free process and yield it; `when_slow` is called if it no longer keeps others from theirs."""
        self._started = True
        await self._places.acquire()
        process, slow = self._chosen(document), False

        def admit_another() -> None:
            nonlocal slow
            with self._lock:
                slow = self._slow < _MOST_SLOW
                self._slow += slow
            if slow:
                self._places.release()
                when_slow()

        overdue = asyncio.get_running_loop().call_later(SLOW_SECONDS, admit_another)
        try:
            yield process
        finally:
            overdue.cancel()
            try:
                await self._give_back(process)
            finally:
                if slow:
                    with self._lock:
                        self._slow -= 1
                else:
                    self._places.release()

    async def close(self) -> None:
        """End the free processes now, and each of the others when it is given back."""
        with self._lock:
            self._open = False
            ended, self._free = self._free, []
        for process in ended:
            await process.end()

    def _chosen(self, document: DocumentFile | None) -> RenderProcess:
        """Take the process that has a document open, or that which was free for longest, or a new one."""
        with self._lock:
            for at, process in enumerate(self._free):
                if document is not None and process.opened is document:
                    return self._free.pop(at)
            if self._free:
                return self._free.pop(0)
            self._alive += 1
            return RenderProcess()

    async def _give_back(self, process: RenderProcess) -> None:
        with self._lock:
            enough = process.documents >= MOST_DOCUMENTS or self._alive > _MOST_AT_ONCE
            keep = self._open and process.sound and not enough
            if keep:
                self._free.append(process)
            else:
                self._alive -= 1
        if not keep:
            await process.end()


_shared: ContextVar[RenderProcesses | None] = ContextVar("hearth_render_processes", default=None)


@asynccontextmanager
async def shared_processes() -> AsyncIterator[None]:
    """Share processes between all documents that are opened in this context."""
    if _shared.get() is not None:
        yield
        return
    async with processes_here() as processes:
        token = _shared.set(processes)
        try:
            yield
        finally:
            with suppress(ValueError):  # a generator may be closed in another context
                _shared.reset(token)


@asynccontextmanager
async def processes_here() -> AsyncIterator[RenderProcesses]:
    """Yield the processes that are shared in this context, or others that end with the block."""
    shared = _shared.get()
    if shared is not None:
        yield shared
        return
    processes = RenderProcesses()
    try:
        yield processes
    finally:
        await processes.close()
