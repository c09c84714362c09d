"""The process that opens documents and renders pages, from outside."""

import asyncio
import sys
from collections.abc import Mapping

from tasks.documents import png
from tasks.documents.answers import LAYER, OPENED, RENDERED, Facts, LayerFacts, PageFacts, PageRefused, Refused, parsed
from tasks.documents.document_file import DocumentFile
from tasks.documents.sandboxed_process import SandboxedProcess

# -P: the working directory may contain files named like modules. -B: the process writes nothing.
COMMAND = (sys.executable, "-P", "-B", "-m", "tasks.documents.sandbox.worker")
PATIENCE = 5.0
"""Waiting time as a multiple of the processor time: on a busy machine the process gets only a part of it."""


class RenderProcess(SandboxedProcess):
    """A sandboxed process, started when it is first needed; it has one document open at a time.

    Attributes:
        opened: the document that it has open, if any.
        documents: number of documents that it has opened.
        sound: whether it may get another document.
    """

    def __init__(self) -> None:
        super().__init__(COMMAND)
        self.opened: DocumentFile | None = None
        self.documents = 0
        self.sound = True

    async def open(self, document: DocumentFile) -> Facts | Refused:
        """Open a document instead of the one before, and return its facts.

        Raises:
            RendererError: the process does not start.
            CrashedError: the document crashed it; the next one gets a new process.
            TimeoutError: opening takes too long, and the process was ended.
        """
        limits = document.limits
        opening = {
            **{"kind": document.kind.name, "password": document.password},
            **{"pages": limits.pages, "image_megapixels": limits.image_megapixels},
            **{"memory_mb": limits.render_memory_mb, "seconds": document.seconds},
        }
        async with self._request():
            # The mapped document counts, too.
            await self._ready(limits.render_memory_mb + limits.file_mb)
            async with asyncio.timeout(PATIENCE * document.seconds):
                await self._send({"open": opening}, document.descriptor)
                answer = parsed(await self._message(), OPENED)
        self.documents += 1
        self.opened = document
        self.sound = isinstance(answer, Facts) or answer.refused in {"encrypted", "password"}
        return answer

    async def page(
        self, document: DocumentFile, number: int, side: int, upright: Mapping[str, bool | int]
    ) -> tuple[PageFacts, list[bytes]] | PageRefused:
        """Return the facts and the images of a page.

        Args:
            document: of the page; opened, if it is not.
            number: the page, counted from 1.
            side: the longest of an image, in pixels.
            upright: the fields of `Asked`: what may be done to put the page upright.

        Raises:
            RendererError, CrashedError, TimeoutError: as `open` does.
        """
        if self.opened is not document:
            await self.open(document)
        async with self._request():
            request = {"page": number, "longest_side": side, "seconds": document.limits.render_seconds}
            await self._send({**request, "upright": upright})
            answer = parsed(await self._message(), RENDERED)
            if isinstance(answer, PageRefused):
                self.sound = self.sound and answer.reason != "memory"
                return answer
            answer.check(side)
            images = [await self._exactly(facts.size) for facts in answer.images]
            for facts, image in zip(answer.images, images, strict=True):
                await asyncio.to_thread(png.check, image, facts.width, facts.height)
        return answer, images

    async def layer(
        self, document: DocumentFile, number: int, seconds: float
    ) -> tuple[LayerFacts, bytes] | PageRefused:
        """Return the figures and the text of a page's text layer, found within so many seconds of processor time.

        Raises:
            RendererError, CrashedError, TimeoutError: as `open` does.
        """
        if self.opened is not document:
            await self.open(document)
        async with self._request(), asyncio.timeout(PATIENCE * seconds):
            await self._send({"layer": number, "seconds": seconds})
            answer = parsed(await self._message(), LAYER)
            return answer if isinstance(answer, PageRefused) else (answer, await self._exactly(answer.size))

    async def end(self) -> None:
        """End the process."""
        self.opened = None
        self.sound, self.documents = True, 0
        await super().end()
