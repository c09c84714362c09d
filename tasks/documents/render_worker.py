"""A process that opens one PDF and renders its pages: `python -m tasks.documents.render_worker`, over its pipes.

It is a process of its own so that a document which crashes MuPDF, hangs it or eats the memory costs itself, or one
page, and not the run, and so that rendering does not hold the interpreter that keeps the slots busy.

The first line on stdin is {"path", "password", "pages", "image_megapixels", "memory_mb"}, the last but one the limits
on both. It is answered by two lines: {"memory_mb"}, as soon as the process has started, and what `PageRenderer.facts`
tells, or {"refused", "detail"}. Each further line is {"page", "longest_side"}, answered by a line {"dpi", "flags",
"images"} and the PNG of each image, of `size` bytes, or by a line {"error", "reason"}.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import pymupdf

from tasks.documents import mupdf_messages
from tasks.documents.page_renderer import Limits, PageRenderer, RefusedError

_STORE_PAGES = 16
_REOPEN_PAGES = 500
# To open a document takes a small part of what a page may take, and more for a large one: a few kilobytes of a
# hostile one can ask for gigabytes.
_OPENING_MB = 1000
_OPENING_MB_EACH_MB = 4


def limit_memory(megabytes: int, *, for_good: bool = False) -> int:
    """Cap this process's address space, where the system can, at what is asked for or may be had.

    Args:
        megabytes: the cap.
        for_good: it is not raised again.

    Returns:
        The cap, megabytes.
    """
    if sys.platform == "linux":
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        size = megabytes * 1_000_000
        size = size if most == resource.RLIM_INFINITY else min(size, most)
        resource.setrlimit(resource.RLIMIT_AS, (size, size if for_good else most))
        return size // 1_000_000
    return megabytes


def main() -> None:
    """Serve until stdin ends."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    # Whatever a library prints must not get between the answers.
    sys.stdout = sys.stderr
    mupdf_messages.quiet()
    opening = json.loads(requests.readline())
    cap = limit_memory(_opening_mb(opening))
    _answer(answers, {"memory_mb": cap})
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # nobody reads on
    renderer: PageRenderer | None = None
    refused: dict[str, Any] = {}
    try:
        renderer = _opened(opening)
        _answer(answers, renderer.facts())
    except Exception as error:  # noqa: BLE001 - MuPDF raises many kinds
        refused = _refusal(error)
        _answer(answers, {"refused": refused["reason"], "detail": refused["error"]})
    limit_memory(opening["memory_mb"], for_good=True)
    for served, line in enumerate(iter(requests.readline, b""), 1):
        _answer(answers, *(_page(renderer, json.loads(line)) if renderer else (refused,)))
        # MuPDF keeps what it decoded, up to 256 MB: fonts serve the next pages as well, scans do not.
        if served % _STORE_PAGES == 0:
            pymupdf.TOOLS.store_shrink(100)
        if renderer and served % _REOPEN_PAGES == 0:
            renderer.reopen()


def _opening_mb(opening: dict[str, Any]) -> int:
    with suppress(OSError):  # which opening it will tell
        size = Path(opening["path"]).stat().st_size // 1_000_000
        return int(min(opening["memory_mb"], _OPENING_MB + _OPENING_MB_EACH_MB * size))
    return int(opening["memory_mb"])


def _opened(opening: dict[str, Any]) -> PageRenderer:
    limits = Limits(opening["pages"], opening["image_megapixels"])
    return PageRenderer(opening["path"], opening["password"], limits)


def _page(renderer: PageRenderer, request: dict[str, Any]) -> Sequence[Any]:
    """The header of the answer, and the images."""
    try:
        header, pngs = renderer.render(request["page"], request["longest_side"])
    except Exception as error:  # noqa: BLE001 - as above; the page fails and says why
        return (_refusal(error),)
    return header, *pngs


def _answer(answers: BinaryIO, header: dict[str, Any], *data: bytes) -> None:
    answers.write(json.dumps(header).encode() + b"\n")
    for each in data:
        answers.write(each)
    answers.flush()


def _refusal(error: Exception) -> dict[str, Any]:
    if isinstance(error, RefusedError):
        return {"error": str(error), "reason": error.reason}
    told = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, MemoryError) or "alloc" in told:
        return {"error": "it needs more memory than HEARTH_LIMITS__RENDER_MEMORY_MB allows", "reason": "memory"}
    return {"error": told, "reason": "render"}


if __name__ == "__main__":
    main()
