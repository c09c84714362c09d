"""One look at a pool for all in this process that follow its machines: EC2 throttles an account, not a run."""

from __future__ import annotations

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
    """What was seen last of a pool, shared by runs, their machines and their threads.

    Attributes:
        began: when the newest look that has ended began, by the monotonic clock.
        machines: what it saw.
    """

    began: float = float("-inf")
    machines: tuple[Machine, ...] = ()
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _looking: Future[tuple[Machine, ...]] | None = None

    async def fresh(self, look: Look) -> tuple[Machine, ...]:
        """Look now, and let others know."""
        began = time.monotonic()
        found = await look()
        with self._guard:
            if began > self.began:
                self.began, self.machines = began, found
        return found

    async def recent(self, look: Look, seconds: float) -> tuple[Machine, ...]:
        """Return what was seen less than so many seconds ago; of all who ask at once, one looks.

        Raises:
            CloudError: AWS refuses, or is out of reach.
        """
        with self._guard:
            if time.monotonic() - self.began < seconds:
                return self.machines
            under_way, mine = self._looking, Future[tuple[Machine, ...]]()
            if under_way is None:
                mine.set_running_or_notify_cancel()  # nobody who waits for it can cancel it for the others
                self._looking = mine
        if under_way is not None:
            try:
                return await asyncio.wrap_future(under_way)
            except CloudError:
                return await self.fresh(look)  # that one may have given up sooner than this one would
        return await self._looked(look, mine)

    async def _looked(self, look: Look, mine: Future[tuple[Machine, ...]]) -> tuple[Machine, ...]:
        try:
            found = await self.fresh(look)
        except BaseException as error:
            with self._guard:
                self._looking = None
            told = isinstance(error, CloudError)
            mine.set_exception(error if told else CloudError("Whoever looked for all was interrupted."))
            raise
        with self._guard:
            self._looking = None
        mine.set_result(found)
        return found


_all: dict[tuple[str, ...], Sightings] = {}
_making = threading.Lock()


def sightings_of(*pool: str) -> Sightings:
    """Return this process's sightings of a pool, by what tells it from all others."""
    with _making:
        return _all.setdefault(pool, Sightings())
