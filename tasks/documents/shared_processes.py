"""Sandboxed processes that the documents of one run share: starting one takes longer than opening most documents."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar

from tasks.documents.render_process import RenderProcess

MOST_DOCUMENTS = 50
_MOST_IDLE = 4


class RenderProcesses:
    """A pool of processes, each with one document at a time.

    Args:
        shared: processes are kept for the next document; otherwise each serves one document.
    """

    def __init__(self, *, shared: bool) -> None:
        self._idle: list[RenderProcess] = []
        self._open = shared

    def take(self) -> RenderProcess:
        """Return a free process."""
        return self._idle.pop() if self._idle else RenderProcess()

    async def give_back(self, process: RenderProcess) -> None:
        """Keep a process for the next document, unless it is unsound or has opened enough documents."""
        keep = self._open and process.sound and process.documents < MOST_DOCUMENTS and len(self._idle) < _MOST_IDLE
        if keep:
            self._idle.append(process)
        else:
            await process.end()

    async def close(self) -> None:
        """End the idle processes now, and each of the others when it is given back."""
        self._open = False
        while self._idle:
            await self._idle.pop().end()


_shared: ContextVar[RenderProcesses | None] = ContextVar("hearth_render_processes", default=None)


@asynccontextmanager
async def shared_processes() -> AsyncIterator[None]:
    """Share processes between all documents that are opened in this context."""
    if _shared.get() is not None:
        yield
        return
    processes = RenderProcesses(shared=True)
    token = _shared.set(processes)
    try:
        yield
    finally:
        with suppress(ValueError):  # a generator may be closed in another context
            _shared.reset(token)
        await processes.close()


def processes_here() -> RenderProcesses:
    """Return the pool of this context, or a new one that shares nothing."""
    return _shared.get() or RenderProcesses(shared=False)
