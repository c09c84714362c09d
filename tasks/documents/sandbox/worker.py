"""A process that opens documents and renders their pages: `python -m tasks.documents.sandbox.worker N`.

A document that crashes a library, blocks it or exhausts the memory costs only itself, or one page, and rendering does
not block the interpreter that serves the slots. Exploits stay in this process, too: before the first document it gives
up files, network and programs (`confine`).

N is the descriptor of a socket; `tasks.documents.wire` describes its messages. The first is {"memory_mb"}, the most
that any document may take; the response says how the process is confined. Each further one is

- {"open": {...}}, with the document's descriptor, which replaces the document before: the response is
  `PageRenderer.facts`, or {"refused", "detail", "memory_mb"};
- {"page", "longest_side", "seconds", "upright"}: the response is {"dpi", "flags", "images", ...} and the PNG of each
  image, of `size` bytes, or {"error", "reason"};
- {"layer", "seconds"}: the response is the figures of a page's text layer, as `layer_of` returns them, and the text, of
  `size` bytes; or {"error", "reason"}.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import pymupdf

from tasks.core.document_kinds import PDF
from tasks.documents.sandbox import mupdf_messages, preloaded
from tasks.documents.sandbox.channel import Channel
from tasks.documents.sandbox.confine import confine, limit_memory, limit_processor
from tasks.documents.sandbox.layer.layer import read_layer
from tasks.documents.sandbox.page_images import Limits, RefusedError
from tasks.documents.sandbox.page_renderer import PageRenderer
from tasks.documents.sandbox.pictures import PictureRenderer
from tasks.documents.sandbox.upright import Asked

_STORE_PAGES = 16
_REOPEN_PAGES = 500
# Opening a document takes less memory than a page, and more for a large document. A few kilobytes of a hostile one can
# take gigabytes.
_OPENING_MB = 500
_OPENING_MB_EACH_MB = 4
_LONGEST_CAUSE = 300


class Worker:
    """Serves one document after the other."""

    def __init__(self) -> None:
        self._renderer: PageRenderer | PictureRenderer | None = None
        self._descriptor: int | None = None
        self._refused: dict[str, Any] = {}
        self._served = 0

    def open(self, opening: dict[str, Any], descriptor: int) -> dict[str, Any]:
        """Open a document instead of the one before, and return the response."""
        self._close()
        self._descriptor = descriptor
        size = os.fstat(descriptor).st_size // 1_000_000
        cap = limit_memory(min(opening["memory_mb"], _OPENING_MB + _OPENING_MB_EACH_MB * size) + size)
        limit_processor(opening["seconds"])
        try:
            facts = self._opened(opening, descriptor)
        except Exception as error:  # noqa: BLE001 - libraries raise many kinds
            self._refused = _refusal(error)
            return {"refused": self._refused["reason"], "detail": self._refused["error"], "memory_mb": cap}
        finally:
            limit_memory(opening["memory_mb"] + size)
        return facts

    def _opened(self, opening: dict[str, Any], descriptor: int) -> dict[str, Any]:
        mupdf_messages.forget()
        limits = Limits(opening["pages"], opening["image_megapixels"])
        if opening["kind"] == PDF.name:
            self._renderer = PageRenderer(descriptor, opening["password"], limits)
        else:
            self._renderer = PictureRenderer(descriptor, opening["kind"], limits)
        facts = self._renderer.facts()
        if mupdf_messages.lacks_memory():  # parts would be missing without a message
            self._renderer = None
            raise MemoryError
        return facts

    def page(self, request: dict[str, Any]) -> Sequence[Any]:
        """Return the header of a page's response, and its images or its text."""
        if self._renderer is None:
            return (self._refused,)
        limit_processor(request["seconds"])
        self._served += 1
        try:
            if "layer" in request:
                if isinstance(self._renderer, PictureRenderer):
                    raise RefusedError("render", "a picture has no text layer")
                return read_layer(self._renderer, request["layer"])
            asked = Asked(**request["upright"])
            header, pngs = self._renderer.render(request["page"], request["longest_side"], asked)
        except Exception as error:  # noqa: BLE001 - as above; the page fails and says why
            return (_refusal(error),)
        return header, *pngs

    def tidy(self) -> None:
        """Release memory that pages have left behind."""
        # MuPDF caches decoded objects, up to 256 MB: fonts serve the next pages, scans do not.
        if self._served and self._served % _STORE_PAGES == 0:
            pymupdf.TOOLS.store_shrink(100)
        if self._renderer and self._served and self._served % _REOPEN_PAGES == 0:
            self._renderer.reopen()

    def _close(self) -> None:
        if self._renderer is not None:
            self._renderer.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._renderer, self._descriptor, self._refused, self._served = None, None, {}, 0
        pymupdf.TOOLS.store_shrink(100)


def main() -> None:
    """Serve until the other side closes the socket."""
    channel = Channel(int(sys.argv[1]))
    # Nobody reads what a library prints once the process has started.
    sys.stdout = sys.stderr
    mupdf_messages.quiet()
    first, _ = channel.receive()
    assert preloaded.MODULES  # noqa: S101 - nothing can be imported from here on
    null = os.open(os.devnull, os.O_WRONLY)
    channel.send(confine(first["memory_mb"]))
    os.dup2(null, 2)
    worker = Worker()
    while True:
        request, descriptor = channel.receive()
        if "open" in request and descriptor is not None:
            channel.send(worker.open(request["open"], descriptor))
        else:
            channel.send(*worker.page(request))
            worker.tidy()


def _refusal(error: Exception) -> dict[str, Any]:
    if isinstance(error, RefusedError):
        return {"error": str(error), "reason": error.reason}
    if mupdf_messages.lacks_memory(error):
        return {"error": "it needs more memory than HEARTH_LIMITS__RENDER_MEMORY_MB allows", "reason": "memory"}
    cause = "".join(filter(str.isprintable, str(error).strip().partition("\n")[0]))[:_LONGEST_CAUSE]
    return {"error": cause or type(error).__name__, "reason": "render"}


if __name__ == "__main__":
    try:
        main()
    except (EOFError, ConnectionError):
        os._exit(0)  # the socket is closed, and there is nothing to clean up
