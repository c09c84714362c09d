"""PDF pages as images, rendered one at a time in a process of their own; slow ones beside the others."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tasks.core.errors import FailureReason, PageError
from tasks.core.flags import Flag
from tasks.settings.reading import LimitSettings

# Less ink than this is dust: a page number of one digit at 1288 px is about 0.00004 of its page.
_DUST = 0.00002
# A page that takes longer, usually 0.01 to 0.1 s, does not keep others from being rendered; unless so many do.
_SLOW_SECONDS = 2.0
_MOST_SLOW = 2


@dataclass(frozen=True, slots=True)
class PageImage:
    """A page as the model gets it.

    Attributes:
        png: the image, RGB, or grey where the page has no colour.
        width, height: in pixels.
        dpi: dots an inch.
        ink: the part of the pixels, 0 to 1, that stand out from the background.
        flags: what is to be known of the page, though it could be rendered.
    """

    png: bytes
    width: int
    height: int
    dpi: float
    ink: float
    flags: tuple[Flag, ...] = ()

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
        self._opening = {
            "path": str(path),
            "password": password,
            "image_megapixels": limits.image_megapixels,
            "memory_mb": limits.render_memory_mb,
        }
        self._longest_side = longest_side
        self._limits = limits
        self._turn = asyncio.Semaphore(1)
        self._slow = 0
        self._processes: set[_Process] = set()
        self._idle: list[_Process] = []
        self._ahead: dict[int, asyncio.Task[PageImage]] = {}

    async def __aenter__(self) -> Self:
        """Start the process."""
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
        for process in list(self._processes):
            await process.end()

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
        """
        begun = self._ahead.pop(number, None)
        return await (begun if begun is not None else self._page(number))

    async def _page(self, number: int) -> PageImage:
        async with self._process() as process:
            try:
                async with asyncio.timeout(self._limits.render_seconds):
                    header, png = await process.ask({"page": number, "longest_side": self._longest_side})
            except TimeoutError:
                await process.end()
                raise self._failed(f"it took more than {self._limits.render_seconds:g} s to render") from None
            except (asyncio.IncompleteReadError, json.JSONDecodeError, BrokenPipeError, ConnectionResetError):
                await process.end()
                raise self._failed("rendering it crashed the renderer") from None
            except asyncio.CancelledError:
                # The answer would be taken for the next page's.
                await process.end()
                raise
        if "error" in header:
            raise self._failed(header["error"])
        return PageImage(png, header["width"], header["height"], header["dpi"], header["ink"])

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[_Process]:
        """A process for one page: one after the other, but for slow pages, beside which others go on."""
        await self._turn.acquire()
        process = self._idle.pop() if self._idle else _Process(self._opening)
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
    def _failed(why: str) -> PageError:
        return PageError(FailureReason.RENDER, f"The page cannot be rendered: {why}.", final=True)


class _Process:
    """A `tasks.documents.render_worker`, started when it is asked for a page, if it does not run."""

    def __init__(self, opening: dict[str, Any]) -> None:
        self._opening = opening
        self._running: asyncio.subprocess.Process | None = None

    async def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        process = await self.start()
        assert process.stdin is not None  # noqa: S101 - narrows the type: it was opened with a pipe
        assert process.stdout is not None  # noqa: S101 - likewise
        process.stdin.write(json.dumps(request).encode() + b"\n")
        await process.stdin.drain()
        header: dict[str, Any] = json.loads(await process.stdout.readuntil())
        return header, await process.stdout.readexactly(header.get("size", 0))

    async def start(self) -> asyncio.subprocess.Process:
        if self._running is not None and self._running.returncode is not None:
            await self.end()  # it died between two pages, which is no fault of the next
        if self._running is None:
            pipe = asyncio.subprocess.PIPE
            self._running = await asyncio.create_subprocess_exec(
                # -P: the working directory may hold files named like modules.
                *(sys.executable, "-P", "-m", "tasks.documents.render_worker"),
                stdin=pipe,
                stdout=pipe,
                stderr=asyncio.subprocess.DEVNULL,
                limit=2**20,
                env={**os.environ, "PYTHONWARNINGS": "ignore"},
            )
            assert self._running.stdin is not None  # noqa: S101 - narrows the type: it was opened with a pipe
            self._running.stdin.write(json.dumps(self._opening).encode() + b"\n")
        return self._running

    async def end(self) -> None:
        process, self._running = self._running, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.communicate()
