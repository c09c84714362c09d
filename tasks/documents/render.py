"""PDF pages as images, rendered one at a time in a process of their own; slow ones beside the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from tasks.core.errors import FailureReason, PageError
from tasks.core.flags import Flag, FlagName
from tasks.documents.answers import PageFacts, PageRefused
from tasks.documents.document_file import DocumentFile
from tasks.documents.render_process import PATIENCE, CrashedError, RenderProcess
from tasks.documents.shared_processes import processes_here
from tasks.settings.reading import LimitSettings

# Less ink than this is dust: a page number of one digit at 1288 px is about 0.00004 of its page.
_DUST = 0.00002
# A page that takes longer, usually 0.01 to 0.1 s, does not keep others from being rendered; unless so many do.
_SLOW_SECONDS = 2.0
_MOST_SLOW = 2
# Of a document so many pages may take too long, too much memory, or crash the process: each may cost a minute.
_MOST_LOST = 10
_MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class PageImage:
    """A page as the model gets it.

    Attributes:
        png: the image, RGB, or grey where the page has no colour.
        width, height: in pixels.
        dpi: dots an inch.
        ink: the part of the pixels, 0 to 1, that stand out from the background.
        flags: what is to be known of the page, though it could be rendered.
        strips: a page that is too long for one image, cut in order; it has no `png` of its own.
        clean: of a strip: nothing that is written is cut where it begins.
        overlap: of a strip: the part of it, 0 to 1, that shows once more what ends the strip before it.
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
        """What of it could not be decoded; empty if all could be."""
        return next((flag.detail for flag in self.flags if flag.name is FlagName.DAMAGED), "")

    @property
    def blank(self) -> bool:
        """Every pixel is alike: there is nothing to ask a model about."""
        return self.ink == 0.0

    @property
    def has_ink(self) -> bool:
        """There is enough on the page that an empty answer cannot be right."""
        return self.ink > _DUST


class Renderer:
    """Renders pages of one PDF on demand; holds none but those that were asked for `ahead`.

    Use as an async context manager: a process starts at once, while the machine may still be
    getting warm, and ends with the context. A page that crashes or hangs it fails alone: the process
    is started anew for the next. A page that takes long is left to its process, and others go on in another.
    """

    def __init__(self, path: Path, longest_side: int, limits: LimitSettings, password: str | None = None) -> None:
        self._path, self._password = path, password
        self._file: DocumentFile | None = None
        self._longest_side = longest_side
        self._limits = limits
        self._lost = 0
        self._pool = processes_here()
        self._turn = asyncio.Semaphore(1)
        self._slow = 0
        self._processes: set[RenderProcess] = set()
        self._idle: list[RenderProcess] = []
        self._ahead: dict[int, asyncio.Task[PageImage]] = {}

    async def __aenter__(self) -> Self:
        """Start the process.

        Raises:
            DocumentError: the file cannot be read any more.
        """
        self._file = DocumentFile.at(self._path, self._limits, self._password)
        async with self._process() as process:
            await process.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End its processes."""
        for task in self._ahead.values():
            task.cancel()
        await asyncio.gather(*self._ahead.values(), return_exceptions=True)
        for process in self._idle:
            self._processes.discard(process)
            await self._pool.give_back(process)
        for process in list(self._processes):
            await process.end()
        if self._file is not None:
            self._file.close()

    async def ahead(self, numbers: Iterable[int]) -> None:
        """Begin to render pages that will be asked for; these few are held until then. Returns at once."""
        for number in numbers:
            self._ahead[number] = asyncio.create_task(self._page(number))

    async def page(self, number: int) -> PageImage:
        """Render a page, or take what was rendered ahead.

        Args:
            number: counted from 1.

        Raises:
            PageError: it cannot be rendered; reading it again cannot help.
            RendererError: no page can be.
        """
        begun = self._ahead.pop(number, None)
        return await (begun if begun is not None else self._page(number))

    async def _page(self, number: int) -> PageImage:
        async with self._process() as process:
            if self._lost >= _MOST_LOST:
                raise self._failed(
                    f"{_MOST_LOST} pages of the document took too much already; no more are tried",
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
        """Ask for a page; once more if the process died, which may have been killed for another's sake."""
        assert self._file is not None  # noqa: S101 - narrows the type: the context was entered
        async with asyncio.timeout(PATIENCE * self._limits.render_seconds):
            try:
                return await process.page(self._file, number, self._longest_side)
            except CrashedError:
                return await process.page(self._file, number, self._longest_side)

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[RenderProcess]:
        """A process for one page: one after the other, but for slow pages, beside which others go on."""
        await self._turn.acquire()
        process = self._idle.pop() if self._idle else self._pool.take()
        self._processes.add(process)
        slow = False

        def let_others() -> None:
            nonlocal slow
            if self._slow < _MOST_SLOW:
                slow = True
                self._slow += 1
                self._turn.release()

        overdue = asyncio.get_running_loop().call_later(_SLOW_SECONDS, let_others)
        try:
            yield process
        finally:
            overdue.cancel()
            if slow:
                self._slow -= 1
                self._processes.discard(process)
                await process.end()
            else:
                self._idle.append(process)
                self._turn.release()

    @staticmethod
    def _failed(why: str, reason: str = FailureReason.RENDER) -> PageError:
        known = FailureReason(reason) if reason in set(FailureReason) else FailureReason.RENDER
        return PageError(known, f"The page cannot be rendered: {why}.", final=True)


def _image_of(facts: PageFacts, pngs: list[bytes]) -> PageImage:
    parts = [
        PageImage(png, each.width, each.height, facts.dpi, each.ink, (), (), each.clean, each.overlap)
        for each, png in zip(facts.images, pngs, strict=True)
    ]
    if len(parts) == 1:
        return replace(parts[0], flags=facts.noted)
    ink = sum(part.ink for part in parts) / len(parts)
    return PageImage(b"", facts.width, facts.height, facts.dpi, ink, facts.noted, tuple(parts))
