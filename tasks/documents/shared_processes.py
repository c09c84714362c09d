"""Sandboxed processes that the documents of one run share: to start one takes longer than to open most documents."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar

from tasks.documents.answers import Facts, Refused
from tasks.documents.document_file import DocumentFile
from tasks.documents.render_process import RenderProcess

_MOST_DOCUMENTS = 50
_MOST_IDLE = 4


class RenderProcesses:
    """Processes that the documents of one run share, each with one document at a time."""

    def __init__(self) -> None:
        self._idle: list[RenderProcess] = []
        self._open = True

    def take(self) -> RenderProcess:
        """Return one that nobody uses."""
        return self._idle.pop() if self._idle else RenderProcess()

    async def give_back(self, process: RenderProcess) -> None:
        """Keep a process for the next document, unless it has had its share of them."""
        kept = self._open and process.sound and process.documents < _MOST_DOCUMENTS and len(self._idle) < _MOST_IDLE
        if kept:
            self._idle.append(process)
        else:
            await process.end()

    async def close(self) -> None:
        """End those that nobody uses, and each of the others when it is given back."""
        self._open = False
        while self._idle:
            await self._idle.pop().end()


_shared: ContextVar[RenderProcesses | None] = ContextVar("hearth_render_processes", default=None)


@asynccontextmanager
async def shared_processes() -> AsyncIterator[None]:
    """Have all documents that are opened within share processes. Elsewhere each document has one of its own."""
    if _shared.get() is not None:
        yield
        return
    processes = RenderProcesses()
    token = _shared.set(processes)
    try:
        yield
    finally:
        with suppress(ValueError):  # a generator may be closed in another context
            _shared.reset(token)
        await processes.close()


def processes_here() -> RenderProcesses:
    """Return the processes that are shared here; those of nobody else if none are."""
    shared = _shared.get()
    if shared is None:
        shared = RenderProcesses()
        shared._open = False
    return shared


async def facts_of(document: DocumentFile) -> Facts | Refused:
    """Open a document in a sandboxed process, and return what it is.

    Raises:
        RendererError, CrashedError, TimeoutError: as `RenderProcess.open` does.
    """
    processes = processes_here()
    process = processes.take()
    try:
        return await process.open(document)
    finally:
        await processes.give_back(process)
