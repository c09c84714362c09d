"""The interruption of a server's machine: signalled by its watcher, awaited by its users."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, TypeVar

from tasks.core.errors import MachineLostError

T = TypeVar("T")


class Interruption:
    """Whether a server's machine will go away, or has gone. Set from any thread, awaited on any loop."""

    def __init__(self) -> None:
        self._announced: Future[str] = Future()
        self._gone: Future[str] = Future()
        self._gone_here: dict[asyncio.AbstractEventLoop, asyncio.Future[str]] = {}

    @property
    def announced(self) -> bool:
        """Whether the machine will go away, so that it should get no new work."""
        return self._announced.done()

    @property
    def gone(self) -> bool:
        """Whether the machine has gone, so that pending requests get no response."""
        return self._gone.done()

    @property
    def why(self) -> str:
        """The reason, for people; empty while nothing was announced."""
        return self._announced.result() if self.announced else ""

    def notify(self, why: str) -> None:
        """Announce that the machine will go away. Only the first reason counts."""
        with suppress(InvalidStateError):
            self._announced.set_result(why)

    def mark_gone(self, why: str) -> None:
        """Record that the machine has gone."""
        self.notify(why)
        with suppress(InvalidStateError):
            self._gone.set_result(why)

    async def wait_announced(self) -> str:
        """Wait for the announcement, and return its reason."""
        return await asyncio.shield(asyncio.wrap_future(self._announced))

    async def wait_gone(self) -> str:
        """Wait until the machine has gone, and return the reason."""
        loop = asyncio.get_running_loop()
        # One for all waiters of a loop: a wrapped future stays on the list of the future that it wraps.
        if loop not in self._gone_here:
            self._gone_here[loop] = asyncio.wrap_future(self._gone)
        return await asyncio.shield(self._gone_here[loop])

    async def unless_gone(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of work that needs the machine.

        Raises:
            MachineLostError: the machine has gone; the work was cancelled.
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
