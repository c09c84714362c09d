"""The sandboxed process, seen from outside: started, asked for what a document is and for its pages, and ended."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tasks.core.errors import RendererError
from tasks.settings.reading import LimitSettings

# -P: the working directory may hold files named like modules.
_COMMAND = (sys.executable, "-P", "-m", "tasks.documents.render_worker")
_LONGEST_LINE = 2**20
_LONGEST_CAUSE = 200


class CrashedError(Exception):
    """The process died of what it was asked for, or was killed meanwhile."""


def opening(path: Path, limits: LimitSettings, password: str | None) -> dict[str, Any]:
    """Return the first line that the process is sent."""
    return {
        "path": str(path),
        "password": password,
        "pages": limits.pages,
        "image_megapixels": limits.image_megapixels,
        "memory_mb": limits.render_memory_mb,
    }


def facts_of(path: Path, limits: LimitSettings, password: str | None) -> dict[str, Any]:
    """Open a document in a process of its own, and return what it is.

    Raises:
        RendererError: the process does not start.
        CrashedError: opening the document crashed it.
        TimeoutError: opening it takes too long.
    """
    line = json.dumps(opening(path, limits, password)).encode() + b"\n"
    try:
        ended = subprocess.run(  # noqa: S603 - our own program
            _COMMAND, input=line, capture_output=True, timeout=limits.render_seconds, env=_environment(), check=False
        )
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    except OSError as error:
        raise _does_not_start(error.strerror or str(error)) from None
    ready, _, facts = ended.stdout.partition(b"\n")
    if not ready:
        raise _does_not_start(ended.stderr.decode(errors="replace"))
    if not facts:
        raise CrashedError
    return {**json.loads(ready), **json.loads(facts)}


class RenderProcess:
    """A process for one document, started when it is asked for a page, if it does not run.

    Args:
        first_line: see `opening`.
    """

    def __init__(self, first_line: dict[str, Any]) -> None:
        self._first_line = first_line
        self._running: asyncio.subprocess.Process | None = None
        self._opened = False

    async def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        """Send a request, and return the answer's header and images.

        Raises:
            RendererError: the process does not start.
            CrashedError: it died meanwhile; it is started anew for the next request.
        """
        process = await self.start()
        assert process.stdin is not None  # noqa: S101 - narrows the type: it was opened with a pipe
        assert process.stdout is not None  # noqa: S101 - likewise
        try:
            if not self._opened:
                await self._open(process.stdout)
            process.stdin.write(json.dumps(request).encode() + b"\n")
            await process.stdin.drain()
            header: dict[str, Any] = json.loads(await process.stdout.readuntil())
            return header, [await process.stdout.readexactly(each["size"]) for each in header.get("images", ())]
        except (asyncio.IncompleteReadError, json.JSONDecodeError, BrokenPipeError, ConnectionResetError):
            await self.end()
            raise CrashedError from None

    async def _open(self, stdout: asyncio.StreamReader) -> None:
        if not await stdout.readline():
            process = self._running
            told = await process.stderr.read() if process is not None and process.stderr is not None else b""
            await self.end()
            raise _does_not_start(told.decode(errors="replace"))
        await stdout.readuntil()
        self._opened = True

    async def start(self) -> asyncio.subprocess.Process:
        """Start it, if it does not run."""
        if self._running is not None and self._running.returncode is not None:
            await self.end()  # it died between two pages, which is no fault of the next
        if self._running is None:
            pipe = asyncio.subprocess.PIPE
            self._running = await asyncio.create_subprocess_exec(
                *_COMMAND, stdin=pipe, stdout=pipe, stderr=pipe, limit=_LONGEST_LINE, env=_environment()
            )
            assert self._running.stdin is not None  # noqa: S101 - narrows the type: it was opened with a pipe
            self._running.stdin.write(json.dumps(self._first_line).encode() + b"\n")
        return self._running

    async def end(self) -> None:
        """End it."""
        process, self._running, self._opened = self._running, None, False
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.communicate()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONWARNINGS": "ignore"}


def _does_not_start(told: str) -> RendererError:
    cause = (told.strip().splitlines() or ["it ended without a word"])[-1][:_LONGEST_CAUSE]
    return RendererError(
        f"The process that renders pages does not start: {cause}. If the memory of processes is limited here "
        "(ulimit -v), raise the limit: it needs 300 MB and more."
    )
