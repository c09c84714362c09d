"""One server of a run at a time: acquired, warmed, used and released, and another in its place when it goes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from flows.engine.pages import warm_up
from flows.engine.shutdown_schedule import schedule_idle_shutdown
from tasks.backends.base import Allocation, Backend
from tasks.core.aio import WorkLoop, cancel_and_wait
from tasks.core.budget import Budget
from tasks.core.errors import MachineLostError, ModelError, ServerError, UnavailableError
from tasks.core.events import Progress, RunWarning, SlotsChanged, WarmStep, emit, measure_step
from tasks.ollama.client import GenerateRequest, OllamaClient
from tasks.reading.events import ServerReleased, ServerTaken
from tasks.runs.cost_tracker import CostTracker
from tasks.runs.usage_log import note_held, note_taken
from tasks.serving.admission_limiter import AdmissionLimiter
from tasks.serving.concurrency_tracker import ConcurrencyTracker
from tasks.serving.latency_tracker import LatencyTracker
from tasks.serving.parallelism import SERIAL_FAMILIES
from tasks.serving.server_pool import Server, Servers
from tasks.serving.warmup import Warmth
from tasks.settings.settings import Settings
from tasks.slots.allocation import SlotAllocation

AHEAD = 4
"""Pages open beside those in a slot: rendered and waiting, or being recorded."""
# Servers in a row that go without a page having been answered: something is wrong that another will not mend.
_MOST_LOSSES = 3


@dataclass(frozen=True)
class ServerRequirements:
    """What is wanted of servers.

    Attributes:
        request: the options of all requests.
        slots: pages in flight on each, at the most.
        pages: of each document that is to be read; looked at only as far as it takes to know how many machines to have.
        require_gpu: a model that is not wholly in GPU memory is an error.
        holder: who uses them, for people who wonder why they run.
        budget: what they may cost.
    """

    request: GenerateRequest
    slots: int
    pages: Iterable[int]
    require_gpu: bool
    holder: str
    budget: Budget = field(default_factory=Budget)


@dataclass
class RunContext:
    """What the berths of a run have in common.

    Attributes:
        servers: those that are warm.
        window: how many pages may be open at once; it follows the servers' slots.
        work: the loop on which pages are read.
        books: keep account of the servers.
        ready: done when the first server is warm, or none will be.
    """

    servers: Servers = field(default_factory=Servers)
    window: AdmissionLimiter = field(default_factory=lambda: AdmissionLimiter(AHEAD))
    work: WorkLoop = field(default_factory=WorkLoop)
    books: CostTracker = field(default_factory=CostTracker)
    ready: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class ServerSupervisor:
    """Room for one server, that should have so many parts."""

    def __init__(
        self, backend: Backend, wanted: ServerRequirements, parts: int, settings: Settings, common: RunContext
    ) -> None:
        self._backend = backend
        self._wanted = wanted
        self._parts = parts
        self._settings = settings
        self._common = common

    async def keep(self) -> None:
        """Keep one server at work, and another in its place as soon as it is about to go.

        Raises:
            UnavailableError: no other is to be had, or there is no use in it.
        """
        visits: set[asyncio.Task[None]] = set()
        losses = 0
        try:
            while True:
                with measure_step(WarmStep.ACQUIRE):
                    allocation = await self._backend.acquire(self._wanted.slots, self._wanted.holder, self._parts)
                self._common.books.taken(allocation)
                emit(ServerTaken(allocation))
                if allocation.machine is not None and allocation.machine.usd_per_hour is None:
                    kind = allocation.machine.kind
                    emit(RunWarning(f"What {kind} costs is not known: no budget in dollars holds for it."))
                url, how = allocation.endpoint.url, "started" if allocation.started else "reusing"
                emit(Progress(f"{how} the server at {url}"))
                answered_before = self._common.servers.answered
                visit = asyncio.create_task(self._visit(allocation))
                visits.add(visit)
                going = asyncio.create_task(allocation.interruption.wait_announced())
                await asyncio.wait({visit, going}, return_when=asyncio.FIRST_COMPLETED)
                going.cancel()
                trouble = visit.exception() if visit.done() else None
                if trouble is not None and not (isinstance(trouble, ServerError) and allocation.replaceable):
                    raise trouble
                losses = losses + 1 if self._common.servers.answered == answered_before else 0
                if losses >= _MOST_LOSSES:
                    raise trouble or MachineLostError(
                        f"No machine stays for long enough: {allocation.interruption.why}."
                    )
                why = trouble.what if trouble else f"No more pages go to {url}: {allocation.interruption.why}."
                emit(RunWarning(f"{why} Going on with another."))
        finally:
            await cancel_and_wait(*visits)

    async def _visit(self, allocation: Allocation) -> None:
        """Use one server, from its warm-up until its machine is about to go or nobody needs it, and release it."""
        broken = False
        noted = asyncio.create_task(
            asyncio.to_thread(note_taken, self._settings.output, allocation, self._wanted.holder)
        )
        try:
            warmth = await self._warmed(allocation)
            await self._used(allocation, warmth)
        except UnavailableError as error:
            lost = isinstance(error, MachineLostError) or allocation.interruption.announced
            # Somebody else's model, or page, is no fault of a machine that served before.
            broken = not lost and (isinstance(error, ServerError) or allocation.started)
            raise
        finally:
            await self._release(allocation, broken=broken)
            await noted

    async def _warmed(self, allocation: Allocation) -> Warmth:
        """Warm the model up, and say what the machine logged if that fails."""
        wanted = self._wanted
        try:
            return await allocation.interruption.unless_gone(
                warm_up(wanted.request, allocation, self._settings.warm, require_gpu=wanted.require_gpu)
            )
        except (ServerError, ModelError) as error:
            if allocation.log_tail is None or isinstance(error, MachineLostError):
                raise
            tail = await allocation.log_tail()
            told = f"{error} The machine's log ends: {tail}" if tail else str(error)
            if allocation.started:
                # Another would be set up alike, fail alike, and cost the same.
                raise UnavailableError(told) from None
            raise type(error)(told) from None

    async def _used(self, allocation: Allocation, warmth: Warmth) -> None:
        """Have pages read on a warm server until it goes; those on it then may end.

        Raises:
            UnavailableError: it failed.
        """
        common = self._common
        if common.servers.any_left and common.servers.digest != warmth.digest:
            model = self._wanted.request.model
            raise ModelError(f"{allocation.endpoint.url} has another version of {model} than the other servers.")
        common.books.warmed(allocation, warmth)
        async with (
            common.work.opened(allocation.endpoint.client(self._settings.read.timeout_seconds)) as client,
            common.work.opened(self._joined(allocation, warmth, client)) as server,
        ):
            if not common.ready.done():
                common.ready.set_result(None)
            failed = asyncio.wrap_future(server.failure)
            going = asyncio.create_task(allocation.interruption.wait_announced())
            either: set[asyncio.Future[Any]] = {failed, going}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                going.cancel()
            if failed.done():
                raise failed.result()
            await common.work.run(lambda: common.servers.drained(server))

    @asynccontextmanager
    async def _joined(self, allocation: Allocation, warmth: Warmth, client: OllamaClient) -> AsyncIterator[Server]:
        """A server among the others, with a share of its slots."""
        servers, window = self._common.servers, self._common.window

        told = -1

        def changed() -> None:
            nonlocal told
            slots = servers.capacity
            window.resize(slots + AHEAD)
            servers.deal()
            if slots != told:
                told = slots
                emit(SlotsChanged(slots))

        share = SlotAllocation(allocation.ledger, self._wanted.slots, warmth.measured, changed, allocation.parts)
        await share.open()
        allocation.parts.waiting = lambda: window.left
        pace = LatencyTracker(self._settings.read, self._wanted.request.num_predict)
        # Of a server with parts, each page is seen by one; of Ollama's serial families, the number is known.
        one = allocation.parts.seen_at == 0 and warmth.family not in SERIAL_FAMILIES
        concurrency = ConcurrencyTracker(warmth.measured, self._wanted.slots) if one else None
        server = Server(client, warmth.digest, share, pace, allocation.interruption, concurrency, warmth.thinks)
        try:
            servers.join(server)
            changed()
            yield server
        finally:
            servers.leave(server)
            changed()
            await share.close()

    async def _release(self, allocation: Allocation, *, broken: bool) -> None:
        release = await self._backend.release(allocation, broken=broken)
        self._common.books.released(allocation, "it did not work" if broken else allocation.interruption.why)
        await asyncio.to_thread(note_held, self._settings.output, allocation, self._wanted.holder, time.time())
        if allocation.machine is not None and release.look_at is not None:
            await schedule_idle_shutdown(self._settings, allocation.machine.id, release.look_at)
        emit(ServerReleased(allocation, release.told))
        emit(Progress(f"the server {release.told}"))
