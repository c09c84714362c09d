"""Pages as images, rendered one at a time in a sandboxed process; slow pages do not block the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Self

from tasks.core.errors import FailureReason, PageError
from tasks.core.flags import Flag, FlagName
from tasks.documents.answers import LayerFacts, PageFacts, PageRefused
from tasks.documents.document_file import DocumentFile
from tasks.documents.render_process import PATIENCE, RenderProcess
from tasks.documents.sandboxed_process import CrashedError
from tasks.documents.shared_processes import RenderProcesses, processes_here
from tasks.settings.reading import LimitSettings
from tasks.text.legible import legible

# Less ink than this is dust: a page number of one digit at 1288 px is about 0.00004 of its page.
DUST = 0.00002
# Pages of a document that may exceed time or memory, or crash the process: each may cost a minute.
MOST_LOST = 10
_MEMORY = "memory"
# A text layer usually takes 0.01 to 0.05 s of processor time.
_LAYER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class PageImage:
    """A page as the model gets it.

    Attributes:
        png: the image: RGB, or grey if the page has no colour.
        width, height: in pixels.
        dpi: dots per inch.
        ink: the part of the pixels, 0 to 1, that stand out from the background.
        flags: warnings about the page.
        strips: the images of a page that is too long for one, in order; `png` is empty then.
        clean: of a strip: no text is cut where it begins.
        overlap: of a strip: the part of it, 0 to 1, that repeats the end of the strip before it.
    """

    png: bytes
    width: int
    height: int
    dpi: float
    ink: float
    flags: tuple[Flag, ...] = ()
    strips: tuple[PageImage, ...] = ()
    clean: bool = True
    overlap: float = 0.0

    @property
    def damage(self) -> str:
        """The part that could not be decoded, as text; empty if there is none."""
        return next((flag.detail for flag in self.flags if flag.name is FlagName.DAMAGED), "")

    @property
    def images(self) -> tuple[bytes, ...]:
        """The PNG files that show the page: one, or its strips, without those on which nothing is."""
        return tuple(strip.png for strip in self.strips if not strip.blank) or (self.png,)

    @property
    def blank(self) -> bool:
        """Whether all pixels are equal, so that no model is needed."""
        return self.ink == 0.0

    @property
    def has_ink(self) -> bool:
        """Whether there is so much ink that an empty answer must be wrong."""
        return self.ink > DUST


class Renderer:
    """Renders pages of one PDF on demand, and holds only pages that were requested `ahead`.

    Use as an async context manager: a process starts at once, while the server may still be warming up. A page that
    crashes or blocks it fails alone: the next page gets a new process. A slow page keeps its process, while others are
    rendered in another.
    """

    def __init__(self, path: Path, longest_side: int, limits: LimitSettings, password: str | None = None) -> None:
        self._path, self._password = path, password
        self._longest_side = longest_side
        self._limits = limits
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
        async with self._process() as process:
            if self._lost >= MOST_LOST:
                raise self._failed(
                    f"{MOST_LOST} pages of the document took too much already; no more are tried",
                    FailureReason.HOSTILE,
                )
            try:
                answer = await self._answer(process, number)
            except TimeoutError:
                self._lost += 1
                raise self._failed(f"it took more than {self._limits.render_seconds:g} s to render") from None
            except CrashedError:
                self._lost += 1
                raise self._failed("rendering it crashed the renderer, twice") from None
        if isinstance(answer, PageRefused):
            self._lost += answer.reason == _MEMORY
            raise self._failed(answer.error, answer.reason)
        return _image_of(*answer)

    async def _answer(self, process: RenderProcess, number: int) -> tuple[PageFacts, list[bytes]] | PageRefused:
        """Render a page, a second time if the process died: the system may have killed it to free memory."""
        async with asyncio.timeout(PATIENCE * self._limits.render_seconds):
            try:
                return await process.page(self._file, number, self._longest_side)
            except CrashedError:
                return await process.page(self._file, number, self._longest_side)

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


def _image_of(facts: PageFacts, pngs: list[bytes]) -> PageImage:
    parts = [
        PageImage(png, image.width, image.height, facts.dpi, image.ink, (), (), image.clean, image.overlap)
        for image, png in zip(facts.images, pngs, strict=True)
    ]
    if len(parts) == 1:
        return replace(parts[0], flags=facts.noted)
    ink = sum(part.ink for part in parts) / len(parts)
    return PageImage(b"", facts.width, facts.height, facts.dpi, ink, facts.noted, tuple(parts))
