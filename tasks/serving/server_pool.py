"""The servers that a run reads on, and their slots as one: the least loaded server gets the next page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from tasks.core.errors import HearthError
from tasks.core.interruption import Interruption
from tasks.inference.client import InferenceClient
from tasks.inference.schema import Answer, GenerateRequest
from tasks.serving.concurrency_tracker import ConcurrencyTracker
from tasks.serving.latency_tracker import LatencyTracker, Served
from tasks.slots.allocation import SlotAllocation


@dataclass(eq=False)
class Server:
    """One warm server.

    Attributes:
        digest: the model's.
        share: the slots of it that this run may use.
        pace: how it answers.
        concurrency: how many pages it works on at once; None where that is not followed.
        interruption: whether its machine goes.
        thinks: the model can think, which it is told not to do.
        failure: why it cannot be used any more.
        unanswered: pages in a row that it did not answer.
    """

    client: InferenceClient
    digest: str
    share: SlotAllocation
    pace: LatencyTracker
    interruption: Interruption
    concurrency: ConcurrencyTracker | None = None
    thinks: bool = False
    failure: Future[HearthError] = field(default_factory=Future)
    unanswered: int = 0
    _good_since: float = 0.0
    _good: int = 0

    @property
    def load(self) -> float:
        """The part of its slots that would be in use with one page more; a server in trouble has fewer."""
        return (self.share.in_flight + 1) / max(1, min(self.share.capacity, self.share.limit))

    async def generate(
        self, request: GenerateRequest, prompt: str, image: bytes, temperature: float, stretch: float
    ) -> Answer:
        """Ask the model about a page, in a slot that was taken, and wait `stretch` times the usual timeout.

        Raises:
            TransientError: it could not answer just now.
            PageError: it refuses this very request.
            ModelError: it has lost the model.
            MachineLostError: its machine went away meanwhile.
        """
        began, started = self.share.now(), time.perf_counter()
        seconds = min(self.pace.most_seconds, stretch * self.pace.timeout)
        request = replace(request, thinks=self.thinks)
        call = self.client.generate(request, prompt, (image,), temperature, seconds=seconds)
        answer = await self.interruption.unless_gone(call)
        self.unanswered = 0
        if answer.done:  # one that was broken off has no durations, and is the page's own affair
            self._count(answer)
            self._judge(Served.of(answer, time.perf_counter() - started), began)
        return answer

    def _count(self, answer: Answer) -> None:
        """Correct the number of requests that the server works on at once, if its pages show another."""
        share = self.share
        if self.concurrency is None:
            return
        full = share.in_flight >= share.limit == share.served
        slots = self.concurrency.note(answer, time.time(), share.served, alone=share.runs == 1, full=full)
        if slots is not None:
            share.correct(slots)

    def trouble(self, began: float) -> None:
        """A request that began then, by the ledger's time, was not served: fewer are sent at once."""
        self._good = 0
        self.share.trouble(began)

    def _judge(self, served: Served, began: float) -> None:
        """Enough pages in a row that were served well let one more be sent at once."""
        if self.pace.note(served, self.share.limit):
            self.trouble(began)
            return
        if began <= self.share.limited_at:
            return  # it says nothing of the limit as it is now
        self._good_since = began if not self._good else min(self._good_since, began)
        self._good += 1
        if self._good >= self.share.limit:
            self._good = 0
            self.share.relief(self._good_since)


@dataclass(eq=False)
class _Waiter:
    other_than: Collection[Server]
    at_all: bool
    taken: asyncio.Future[Server]


class Servers:
    """They come and go; whoever waits for a slot is served by whichever has one. All on one event loop.

    Attributes:
        digest: the model's, that pages are read with now; empty before the first server.
        answered: pages that were answered.
    """

    def __init__(self) -> None:
        self._servers: list[Server] = []
        self._waiters: list[_Waiter] = []
        self._end: BaseException | None = None
        self.digest = ""
        self.answered = 0

    @property
    def capacity(self) -> int:
        """Slots of all of them that this run may use at the most."""
        return sum(server.share.capacity for server in self._servers)

    @property
    def now(self) -> tuple[Server, ...]:
        """Those that there are."""
        return tuple(self._servers)

    @property
    def any_left(self) -> bool:
        """Whether there is one."""
        return bool(self._servers)

    def join(self, server: Server) -> None:
        """Have pages read on a server, too."""
        self.digest = server.digest
        self._servers.append(server)
        self.deal()

    def leave(self, server: Server) -> None:
        """Send no more pages to a server; those on it go on."""
        if server in self._servers:
            self._servers.remove(server)
            self.deal()

    async def drained(self, server: Server) -> None:
        """Send no more pages to a server, and wait until those on it have ended."""
        self.leave(server)
        await server.share.idle()

    def fail(self, server: Server, error: HearthError) -> None:
        """Use a server no more, because of an error."""
        self.leave(server)
        if not server.failure.done():
            server.failure.set_result(error)

    async def end(self, error: BaseException) -> None:
        """No server is left, and none will come: whoever waits for one is told the error."""
        self._end = error
        for waiter in self._waiters:
            if not waiter.taken.done():
                waiter.taken.set_exception(error)

    def others(self, servers: Collection[Server]) -> bool:
        """Whether there is a server beside these."""
        return any(other not in servers for other in self._servers)

    @asynccontextmanager
    async def slot(
        self, *, other_than: Collection[Server] = (), at_all: bool = True, first: bool = False
    ) -> AsyncIterator[Server]:
        """Wait for a slot and hold it.

        Args:
            other_than: servers that will not do.
            at_all: they will not do even if there are no others.
            first: before those who wait already.

        Raises:
            UnavailableError: no server is left.
        """
        taken: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
        server = await self._taken(_Waiter(other_than, at_all, taken), first=first)
        try:
            yield server
        finally:
            server.share.give()
            self.deal()

    async def _taken(self, waiter: _Waiter, *, first: bool) -> Server:
        if self._end is not None:
            raise self._end
        self._waiters.insert(0 if first else len(self._waiters), waiter)
        self.deal()
        try:
            return await waiter.taken
        except asyncio.CancelledError:
            if waiter.taken.done() and not waiter.taken.cancelled() and waiter.taken.exception() is None:
                waiter.taken.result().share.give()
            raise
        finally:
            self._waiters = [other for other in self._waiters if other is not waiter]
            self.deal()

    def deal(self) -> None:
        """Give free slots to those who wait, first come first served."""
        for waiter in self._waiters:
            if waiter.taken.done():
                continue
            not_these = waiter.other_than if waiter.at_all or self.others(waiter.other_than) else ()
            fit = [server for server in self._servers if server.share.free > 0 and server not in not_these]
            if fit:
                server = min(fit, key=lambda server: server.load)
                server.share.take()
                waiter.taken.set_result(server)
        waiting = sum(not waiter.taken.done() for waiter in self._waiters)
        for server in self._servers:
            server.share.expect(waiting)
