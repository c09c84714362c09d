"""The process that finds out by reading how pages lie, from outside."""

import asyncio
import logging
import sys
from collections.abc import Sequence

from tasks.core.corrections import Turn
from tasks.core.errors import RendererError
from tasks.documents.answers import TURN, MalformedError, parsed
from tasks.documents.sandboxed_process import CrashedError, SandboxedProcess

# As for the process that renders.
COMMAND = (sys.executable, "-P", "-B", "-m", "tasks.documents.sandbox.turn_worker")
PATIENCE = 5.0
# Reading a few lines in three positions usually takes 0.2 to 2 s of processor time.
_SECONDS = 20.0
_MOST_LOST = 3

_log = logging.getLogger(__name__)


class TurnProcess(SandboxedProcess):
    """A sandboxed process that reads a few lines of a page in each position; one page at a time.

    Args:
        memory_mb: the most memory that it may take, in megabytes.
    """

    def __init__(self, memory_mb: int) -> None:
        super().__init__(COMMAND)
        self._memory_mb = memory_mb
        self._lock = asyncio.Lock()
        self._lost = 0

    async def turn_of(self, png: bytes, turns: Sequence[int]) -> Turn:
        """Return the one of some turns, in degrees clockwise, that puts a page upright; 0 if none does for sure.

        A page that harms the process stays as it is, and after three of them, all do.
        """
        async with self._lock:
            if self._lost >= _MOST_LOST:
                return 0
            try:
                return await self._answer(png, turns)
            except (RendererError, CrashedError, TimeoutError) as error:
                self._lost += 1
                _log.warning("How a page lies could not be found out, and it is read as it is: %r", error)
                return 0

    async def _answer(self, png: bytes, turns: Sequence[int]) -> Turn:
        async with self._request():
            await self._ready(self._memory_mb)
            async with asyncio.timeout(PATIENCE * _SECONDS):
                await self._send({"size": len(png), "turns": list(turns), "seconds": _SECONDS})
                await self._send_bytes(png)
                turn = parsed(await self._message(), TURN).turn
        if turn not in {0, *turns}:
            raise MalformedError(f"a turn by {turn} degrees")
        return turn
