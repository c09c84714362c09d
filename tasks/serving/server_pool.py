"""The servers of a run and their slots as one pool: the least loaded server gets the next page."""

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
from tasks.serving.parallelism import SeenAtOnce
from tasks.serving.probe_image import probe_image
from tasks.slots.allocation import SlotAllocation


@dataclass(eq=False)
class Server:
    """One warm server.

    Attributes:
        pace: its page times.
        concurrency: corrects the number of its slots; None if that is not tracked.
        seen: how many pages it was seen working on at once.
        thinks: whether the model can think, which requests then forbid.
        failure: why it cannot be used any more.
        unanswered: consecutive pages without a response.
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
    seen: SeenAtOnce = field(default_factory=SeenAtOnce)
    _sent: int = 0
    _counted: int = 0
    _good_since: float = 0.0
    _good: int = 0

    @property
    def load(self) -> float:
        """The part of its slots that would be in use with one more page; a server in trouble has fewer."""
        return (self.share.in_flight + 1) / max(1, min(self.share.capacity, self.share.limit))

    async def generate(
        self, request: GenerateRequest, prompt: str, images: tuple[bytes, ...], temperature: float, stretch: float
    ) -> Answer:
        """Have the model read a page, in a slot that was taken, and wait `stretch` times the usual time.

        Raises:
            TransientError: it cannot answer at present.
            PageError: it refuses this request.
            ModelError: it has lost the model.
            MachineLostError: its machine went away meanwhile.
        """
        began, started = self.share.now(), time.perf_counter()
        request = replace(request, thinks=self.thinks)
        limits = self.pace.limits(stretch, self._behind)
        self._sent += 1
        call = self.client.generate(request, prompt, images, temperature, limits=limits)
        answer = await self.interruption.unless_gone(call)
        self.unanswered = 0
        if answer.done:  # a response that was cut off has no durations, and is judged with the page
            seconds = time.perf_counter() - started
            self._count(answer, seconds)
            self._judge(Served.of(answer, seconds), began)
        return answer

    @property
    def _behind(self) -> int:
        """Requests that the server may answer before the next one, while its number of slots is not proven."""
        if self.concurrency is None or self.concurrency.settled or self.seen.most >= self.share.served:
            return 0
        return (self.share.in_flight if self.share.runs == 1 else self.share.limit) - 1

    async def check(self, request: GenerateRequest) -> None:
        """Have the model loaded, and a line of text read, as after a page that was refused.

        Raises:
            HearthError: the server does not read.
        """
        request = replace(request, thinks=self.thinks)
        await self.client.load(request)
        await self.client.generate(replace(request, num_predict=1, schema=""), "Transcribe the text.", (probe_image(),))

    def _count(self, answer: Answer, seconds: float) -> None:
        """Prove the number of requests that the server works on at once, or correct it, if its pages show another."""
        share, before, now = self.share, self.seen.most, time.time()
        self._counted += 1
        self.seen.note(answer, now - seconds, now)
        slots = None
        if self.concurrency is not None:
            full = share.in_flight >= share.limit == share.served
            last = share.in_flight == 1 and self._counted == self._sent
            alone = share.runs == 1
            slots = self.concurrency.note(answer, now, share.served, alone=alone, full=full, last=last)
        if slots is not None:
            share.correct(slots, seen=slots < share.served or slots <= self.seen.most)
        elif self.seen.most >= share.served and not share.measured.proven:
            share.correct(share.measured.slots)
        if self.seen.most > before:
            share.changed()

    def trouble(self, began: float) -> None:
        """Send fewer requests at once, because one that began then, by the ledger's time, was not served."""
        self._good = 0
        self.share.trouble(began)

    def _judge(self, served: Served, began: float) -> None:
        """Send one more request at once after enough consecutive pages without trouble."""
        if self.pace.note(served, self.share.limit):
            self.trouble(began)
            return
        if began <= self.share.limited_at:
            return  # it was sent before the limit changed
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
    """The servers, which come and go; a page that waits gets a slot of any of them. On one event loop.

    Attributes:
        digest: digest of the model that pages are read with; empty before the first server.
        answered: pages with a response.
    """

    def __init__(self) -> None:
        self._servers: list[Server] = []
        self._waiters: list[_Waiter] = []
        self._end: BaseException | None = None
        self.digest = ""
        self.answered = 0

    @property
    def capacity(self) -> int:
        """Most slots of all servers that this run may use."""
        return sum(server.share.capacity for server in self._servers)

    @property
    def now(self) -> tuple[Server, ...]:
        """A snapshot of the current servers."""
        return tuple(self._servers)

    @property
    def any_left(self) -> bool:
        """Whether there is a server."""
        return bool(self._servers)

    def join(self, server: Server) -> None:
        """Have pages read also on this server."""
        self.digest = server.digest
        self._servers.append(server)
        self.deal()

    def leave(self, server: Server) -> None:
        """Send no more pages to a server; those in flight go on."""
        if server in self._servers:
            self._servers.remove(server)
            self.deal()

    async def drained(self, server: Server) -> None:
        """Send no more pages to a server, and wait until those in flight have ended."""
        self.leave(server)
        await server.share.idle()

    def fail(self, server: Server, error: HearthError) -> None:
        """Stop using a server, because of an error."""
        self.leave(server)
        if not server.failure.done():
            server.failure.set_result(error)

    async def end(self, error: BaseException) -> None:
        """Raise an error for all pages that wait for a slot: no server is left, and none will come."""
        self._end = error
        for waiter in self._waiters:
            if not waiter.taken.done():
                waiter.taken.set_exception(error)

    def others(self, servers: Collection[Server]) -> bool:
        """Return whether there is a server besides these."""
        return any(other not in servers for other in self._servers)

    @asynccontextmanager
    async def slot(
        self, *, other_than: Collection[Server] = (), at_all: bool = True, first: bool = False
    ) -> AsyncIterator[Server]:
        """Wait for a slot and hold it; `first` goes before pages that wait already.

        Servers of `other_than` are not accepted; without `at_all` they are if there are no others.

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
        """Give free slots to waiting pages, first come, first served."""
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
