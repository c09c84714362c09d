"""What becomes of the machine under a server: told by who watches it, heard by who uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, TypeVar

from tasks.core.errors import MachineLostError

T = TypeVar("T")


class Interruption:
    """Whether the machine under a server will go, or has gone. Told from any thread, awaited on any loop."""

    def __init__(self) -> None:
        self._announced: Future[str] = Future()
        self._gone: Future[str] = Future()
        self._gone_here: dict[asyncio.AbstractEventLoop, asyncio.Future[str]] = {}

    @property
    def announced(self) -> bool:
        """No new work should be sent there."""
        return self._announced.done()

    @property
    def gone(self) -> bool:
        """What was sent there will not be answered."""
        return self._gone.done()

    @property
    def why(self) -> str:
        """The reason, for people; empty while nothing was told."""
        return self._announced.result() if self.announced else ""

    def notify(self, why: str) -> None:
        """Tell that it will go. Only the first reason counts."""
        with suppress(InvalidStateError):
            self._announced.set_result(why)

    def mark_gone(self, why: str) -> None:
        """Tell that it has gone."""
        self.notify(why)
        with suppress(InvalidStateError):
            self._gone.set_result(why)

    async def wait_announced(self) -> str:
        """Return the reason when it is told."""
        return await asyncio.shield(asyncio.wrap_future(self._announced))

    async def wait_gone(self) -> str:
        """Return the reason when it has gone."""
        loop = asyncio.get_running_loop()
        # One for all that wait: a wrapped future stays on the list of the one that it wraps.
        if loop not in self._gone_here:
            self._gone_here[loop] = asyncio.wrap_future(self._gone)
        return await asyncio.shield(self._gone_here[loop])

    async def unless_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something for as long as the machine is there.

        Raises:
            MachineLostError: it has gone; what was under way was cancelled.
        """
        working, gone = asyncio.ensure_future(work), asyncio.ensure_future(self.wait_gone())
        try:
            await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            raise MachineLostError(f"The machine went away: {gone.result()}.")
        finally:
            gone.cancel()
            if not working.done():
                working.cancel()
                await asyncio.wait({working})
