"""Looks at a pool, shared by all in this process that follow its machines: EC2 throttles an account, not a run."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from tasks.backends.ec2.machine import Machine
from tasks.core.errors import CloudError

Look = Callable[[], Awaitable[tuple[Machine, ...]]]


@dataclass
class Sightings:
    """The latest look at a pool, shared by runs, their machines and their threads.

    Attributes:
        began: when it began, by the monotonic clock.
    """

    began: float = float("-inf")
    machines: tuple[Machine, ...] = ()
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _looking: Future[tuple[Machine, ...]] | None = None

    async def fresh(self, look: Look) -> tuple[Machine, ...]:
        """Look now, and share the result."""
        began = time.monotonic()
        found = await look()
        with self._guard:
            if began > self.began:
                self.began, self.machines = began, found
        return found

    async def recent(self, look: Look, seconds: float) -> tuple[Machine, ...]:
        """Return what was seen less than `seconds` ago. Of all that call this at once, one looks.

        Raises:
            CloudError: AWS refuses, or cannot be reached.
        """
        with self._guard:
            if time.monotonic() - self.began < seconds:
                return self.machines
            under_way, mine = self._looking, Future[tuple[Machine, ...]]()
            if under_way is None:
                mine.set_running_or_notify_cancel()  # so that no waiter can cancel it for the others
                self._looking = mine
        if under_way is not None:
            try:
                return await asyncio.wrap_future(under_way)
            except CloudError:
                return await self.fresh(look)  # that one may have given up sooner
        try:
            found = await self.fresh(look)
        except BaseException as error:
            self._end_look()
            cloud = isinstance(error, CloudError)
            mine.set_exception(error if cloud else CloudError("The look that all shared was interrupted."))
            raise
        self._end_look()
        mine.set_result(found)
        return found

    def _end_look(self) -> None:
        with self._guard:
            self._looking = None


_all: dict[tuple[str, ...], Sightings] = {}
_making = threading.Lock()


def sightings_of(*pool: str) -> Sightings:
    """Return this process's sightings of a pool, by what identifies it."""
    with _making:
        return _all.setdefault(pool, Sightings())
