"""Pages as images, rendered one at a time in a sandboxed process; slow pages do not block the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Self

from tasks.core.corrections import Turn
from tasks.core.errors import FailureReason, PageError
from tasks.documents.answers import LayerFacts, PageFacts, PageRefused
from tasks.documents.document_file import DocumentFile
from tasks.documents.page_image import PageImage, image_of
from tasks.documents.render_process import PATIENCE, RenderProcess
from tasks.documents.sandboxed_process import CrashedError
from tasks.documents.shared_processes import RenderProcesses, processes_here
from tasks.documents.turn_process import TurnProcess
from tasks.settings.reading import LimitSettings
from tasks.text.legible import legible

# Pages of a document that may exceed time or memory, or crash the process: each may cost a minute.
MOST_LOST = 10
_MEMORY = "memory"
# A text layer usually takes 0.01 to 0.05 s of processor time.
_LAYER_SECONDS = 5.0


class Renderer:
    """Renders pages of one PDF on demand, and holds only pages that were requested `ahead`.

    Use as an async context manager: a process starts at once, while the server may still be warming up. A page that
    crashes or blocks it fails alone: the next page gets a new process. A slow page keeps its process, while others are
    rendered in another.

    Args:
        path: the document.
        longest_side: of an image, in pixels.
        limits: of size, time and memory.
        password: the document's, if it has one.
        turn: pages that lie on their side or upside down are turned.
        straighten: skewed scans are straightened.
    """

    def __init__(
        self,
        path: Path,
        longest_side: int,
        limits: LimitSettings,
        password: str | None = None,
        *,
        turn: bool = True,
        straighten: bool = True,
    ) -> None:
        self._path, self._password = path, password
        self._longest_side = longest_side
        self._limits = limits
        self._may = {"turn": turn, "straighten": straighten}
        self._turns = TurnProcess(limits.render_memory_mb)
        self._lost = 0
        self.process_lock = asyncio.Semaphore(1)
        self._ahead: dict[int, asyncio.Task[PageImage]] = {}
        self._file: DocumentFile
        self._processes: RenderProcesses
        self._entered: AsyncExitStack

    async def __aenter__(self) -> Self:
        """Start the process.

        Raises:
            DocumentError: the file cannot be read.
        """
        async with AsyncExitStack() as entered:
            self._file = entered.enter_context(DocumentFile.at(self._path, self._limits, self._password))
            self._processes = await entered.enter_async_context(processes_here())
            await self._processes.start()
            entered.push_async_callback(self._turns.end)
            self._entered = entered.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._ahead.values():
            task.cancel()
        await asyncio.gather(*self._ahead.values(), return_exceptions=True)
        await self._entered.aclose()

    async def ahead(self, numbers: Iterable[int]) -> None:
        """Start to render a few pages that will be requested, and return at once."""
        for number in numbers:
            self._ahead[number] = asyncio.create_task(self._page(number))

    async def page(self, number: int) -> PageImage:
        """Return the image of a page, counted from 1.

        Raises:
            PageError: the page cannot be rendered; reading it again cannot help.
            RendererError: no page can be rendered.
        """
        started = self._ahead.pop(number, None)
        return await (started or self._page(number))

    async def layer(self, number: int) -> tuple[LayerFacts, str] | str:
        """Return the figures and the text of the text layer of a page, counted from 1; or why it cannot be had.

        Raises:
            RendererError: no page can be rendered.
        """
        async with self._process() as process:
            if self._lost >= MOST_LOST:
                return f"{MOST_LOST} pages of the document took too much already"
            try:
                answer = await process.layer(self._file, number, min(_LAYER_SECONDS, self._limits.render_seconds))
            except TimeoutError:
                self._lost += 1
                return "its text layer takes too long to extract"
            except CrashedError:
                self._lost += 1
                return "its text layer crashes the process that extracts it"
        if isinstance(answer, PageRefused):
            self._lost += answer.reason == _MEMORY
            return answer.error
        facts, text = answer
        return facts, legible(text.decode(errors="replace"))

    async def _page(self, number: int) -> PageImage:
        image = await self._rendered(number)
        turn = await self._turns.turn_of(image.png, image.turns) if image.turns else 0
        return await self._rendered(number, turn) if turn else image

    async def _rendered(self, number: int, turn: Turn = 0) -> PageImage:
        async with self._process() as process:
            if self._lost >= MOST_LOST:
                raise self._failed(
                    f"{MOST_LOST} pages of the document took too much already; no more are tried",
                    FailureReason.HOSTILE,
                )
            try:
                answer = await self._answer(process, number, turn)
            except TimeoutError:
                self._lost += 1
                raise self._failed(f"it took more than {self._limits.render_seconds:g} s to render") from None
            except CrashedError:
                self._lost += 1
                raise self._failed("rendering it crashed the renderer, twice") from None
        if isinstance(answer, PageRefused):
            self._lost += answer.reason == _MEMORY
            raise self._failed(answer.error, answer.reason)
        return image_of(*answer)

    async def _answer(
        self, process: RenderProcess, number: int, turn: Turn
    ) -> tuple[PageFacts, list[bytes]] | PageRefused:
        """Render a page, a second time if the process died: the system may have killed it to free memory."""
        request = (self._file, number, self._longest_side, {**self._may, "known": turn})
        async with asyncio.timeout(PATIENCE * self._limits.render_seconds):
            try:
                return await process.page(*request)
            except CrashedError:
                return await process.page(*request)

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[RenderProcess]:
        """Yield a process for one page. Pages take turns, but do not wait for a slow one."""
        await self.process_lock.acquire()
        next_page = cache(self.process_lock.release)
        try:
            async with self._processes.process(self._file, next_page) as process:
                yield process
        finally:
            next_page()

    @staticmethod
    def _failed(why: str, reason: str = FailureReason.RENDER) -> PageError:
        valid = FailureReason(reason) if reason in set(FailureReason) else FailureReason.RENDER
        return PageError(valid, f"The page cannot be rendered: {why}.", final=True)
