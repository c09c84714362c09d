"""One server of a run at a time: acquired, warmed, used and released, and replaced when it goes."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from prefect.runtime import flow_run

from flows.engine.pages import warm_up
from flows.engine.shutdown_schedule import schedule_idle_shutdown
from flows.engine.slot_reports import SlotReports
from tasks.backends.base import Allocation, Backend
from tasks.core.aio import WorkLoop, cancel_and_wait
from tasks.core.budget import Budget
from tasks.core.errors import MachineLostError, ModelError, ServerError, UnavailableError
from tasks.core.events import Progress, RunWarning, SlotsChanged, WarmStep, emit, measure_step
from tasks.inference.client import InferenceClient
from tasks.inference.schema import GenerateRequest, ModelDetails
from tasks.reading.events import ServerReleased, ServerTaken
from tasks.runs.cost_tracker import CostTracker
from tasks.runs.usage_log import note_held, note_taken
from tasks.serving.admission_limiter import AdmissionLimiter
from tasks.serving.concurrency_tracker import ConcurrencyTracker
from tasks.serving.latency_tracker import LatencyTracker
from tasks.serving.server_pool import Server, Servers
from tasks.serving.warmup import Adapt, Warmth
from tasks.settings.settings import Settings
from tasks.slots.allocation import SlotAllocation

_AHEAD = 4
"""Pages that are open without a slot: rendered and waiting, or being recorded."""
_MOST_LOSSES = 3
"""Most consecutive servers that are lost without an answer to any page; another one would not help."""


@dataclass(frozen=True)
class ServerRequirements:
    """What a run needs of its servers.

    Attributes:
        request: the options of all requests.
        slots: most pages in flight on each server.
        pages: number of pages of each document; counted only until the number of machines is certain.
        require_gpu: whether it is an error if a part of the model is not in GPU memory.
        holder: name of the run that uses the servers, as people see it.
        budget: limit of the servers' costs.
        adapt: returns the options of all requests by what a server says of the model; `request` stands if None.
    """

    request: GenerateRequest
    slots: int
    pages: Iterable[int]
    require_gpu: bool
    holder: str
    budget: Budget = field(default_factory=Budget)
    adapt: Adapt | None = None

    def request_on(self, warmth: Warmth) -> GenerateRequest:
        """Return the options of requests to a server that is warm."""
        details = ModelDetails(family=warmth.family, weights=warmth.weights)
        return self.adapt(details) if self.adapt else self.request


@dataclass
class RunContext:
    """What the supervisors of a run share.

    Attributes:
        servers: the warm servers.
        limiter: limits how many pages are open at once; it follows the servers' slots.
        work: the loop on which pages are read.
        costs: the servers' costs, and who observes their use.
        first_warm: how the first server is warm, or why none will be.
    """

    servers: Servers = field(default_factory=Servers)
    limiter: AdmissionLimiter = field(default_factory=lambda: AdmissionLimiter(_AHEAD))
    work: WorkLoop = field(default_factory=WorkLoop)
    costs: CostTracker = field(default_factory=CostTracker)
    first_warm: asyncio.Future[Warmth] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class ServerSupervisor:
    """Keeps one server of a run in use, with `parts` replicas if it can have several."""

    def __init__(
        self, backend: Backend, requirements: ServerRequirements, parts: int, settings: Settings, context: RunContext
    ) -> None:
        self._backend, self._requirements, self._parts = backend, requirements, parts
        self._settings, self._context = settings, context

    async def run(self) -> None:
        """Keep one server in use, and acquire another as soon as its machine is about to go.

        Raises:
            UnavailableError: no other server is available, or another would fail, too.
        """
        requirements, servers = self._requirements, self._context.servers
        sessions: set[asyncio.Task[None]] = set()
        losses = 0
        try:
            while True:
                with measure_step(WarmStep.ACQUIRE):
                    allocation = await self._backend.acquire(requirements.slots, requirements.holder, self._parts)
                self._context.costs.taken(allocation)
                _announce(allocation)
                answered_before = servers.answered
                session = asyncio.create_task(self._session(allocation))
                sessions.add(session)
                going = asyncio.create_task(allocation.interruption.wait_announced())
                await asyncio.wait({session, going}, return_when=asyncio.FIRST_COMPLETED)
                going.cancel()
                error = session.exception() if session.done() else None
                if error is not None and not (isinstance(error, ServerError) and allocation.lease.managed):
                    raise error
                losses = losses + 1 if servers.answered == answered_before else 0
                if losses >= _MOST_LOSSES:
                    raise error or MachineLostError(f"No machine stays for long enough: {allocation.interruption.why}.")
                lost = f"No more pages go to {allocation.endpoint.url}: {allocation.interruption.why}."
                emit(RunWarning(f"{error.what if error else lost} Going on with another."))
        finally:
            await cancel_and_wait(*sessions)

    async def _session(self, allocation: Allocation) -> None:
        """Use one server, from its warm-up until its machine is about to go or nobody needs it, and release it."""
        broken = False
        noted = asyncio.create_task(
            asyncio.to_thread(note_taken, self._settings.output, allocation, self._requirements.holder)
        )
        try:
            warmth = await self._warm(allocation)
            await self._serve(allocation, warmth)
        except UnavailableError as error:
            lost = isinstance(error, MachineLostError) or allocation.interruption.announced
            # A machine that has served before is not to blame for a wrong model or a bad page.
            broken = not lost and (isinstance(error, ServerError) or allocation.started)
            raise
        finally:
            await self._release(allocation, broken=broken)
            await noted

    async def _warm(self, allocation: Allocation) -> Warmth:
        """Warm the model up; if that fails, append the end of the machine's log to the error."""
        requirements = self._requirements
        call = warm_up if flow_run.id else warm_up.fn  # `hearth start` has no run, and so no task runs
        try:
            return await allocation.interruption.unless_gone(
                call(
                    requirements.request,
                    allocation,
                    self._settings.warm,
                    require_gpu=requirements.require_gpu,
                    adapt=requirements.adapt,
                )
            )
        except (ServerError, ModelError) as error:
            if isinstance(error, MachineLostError) or (tail := await allocation.lease.log_tail()) is None:
                raise
            message = f"{error} The machine's log ends: {tail}" if tail else str(error)
            # Another machine would be set up and fail in the same way, at the same cost.
            raise (UnavailableError if allocation.started else type(error))(message) from None

    async def _serve(self, allocation: Allocation, warmth: Warmth) -> None:
        """Have pages read on a warm server until it fails or goes away; pages in flight on it may end."""
        context = self._context
        if context.servers.any_left and context.servers.digest != warmth.digest:
            model = self._requirements.request.model
            raise ModelError(f"{allocation.endpoint.url} has another version of {model} than the other servers.")
        context.costs.warmed(allocation, warmth)
        async with (
            context.work.opened(allocation.endpoint.client(self._settings.read.first_seconds)) as client,
            context.work.opened(self._joined(allocation, warmth, client)) as server,
        ):
            if not context.first_warm.done():
                context.first_warm.set_result(warmth)
            failed = asyncio.wrap_future(server.failure)
            going = asyncio.create_task(allocation.interruption.wait_announced())
            either: set[asyncio.Future[Any]] = {failed, going}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                going.cancel()
            if failed.done():
                raise failed.result()
            await context.work.run(lambda: context.servers.drained(server))

    @asynccontextmanager
    async def _joined(self, allocation: Allocation, warmth: Warmth, client: InferenceClient) -> AsyncIterator[Server]:
        """Add the server to the run's, with this run's share of its slots, and yield it."""
        servers, limiter = self._context.servers, self._context.limiter
        last = -1

        def slots_changed() -> None:
            nonlocal last
            slots = servers.capacity
            limiter.resize(slots + _AHEAD)
            servers.deal()
            if slots != last:
                last = slots
                emit(SlotsChanged(slots))
            reports.report()

        requirements, read = self._requirements, self._settings.read
        replicas = allocation.replicas
        share = SlotAllocation(allocation.ledger, requirements.slots, warmth.measured, parts=replicas)
        await share.open()
        replicas.waiting = lambda: limiter.left
        latency = LatencyTracker(read, requirements.request_on(warmth).num_predict)
        # Not for a server with replicas, each of which sees a part of the pages.
        concurrency = None if replicas.seen_at else ConcurrencyTracker(share.measured, requirements.slots)
        server = Server(client, warmth.digest, share, latency, allocation.interruption, concurrency, warmth.thinks)
        reports = SlotReports(allocation, warmth, server, self._context.costs)
        try:
            servers.join(server)
            share.changed = slots_changed
            slots_changed()
            yield server
        finally:
            servers.leave(server)
            slots_changed()
            await share.close()
            reports.report()

    async def _release(self, allocation: Allocation, *, broken: bool) -> None:
        release = await self._backend.release(allocation, broken=broken)
        self._context.costs.released(allocation, "it did not work" if broken else allocation.interruption.why)
        await asyncio.to_thread(note_held, self._settings.output, allocation, self._requirements.holder, time.time())
        if allocation.machine is not None and release.look_at is not None:
            await schedule_idle_shutdown(self._settings, allocation.machine.id, release.look_at)
        emit(ServerReleased(allocation, release.message))
        emit(Progress(f"the server {release.message}"))


def _announce(allocation: Allocation) -> None:
    emit(ServerTaken(allocation))
    if allocation.machine is not None and allocation.machine.usd_per_hour is None:
        kind = allocation.machine.kind
        emit(RunWarning(f"The price of {kind} is not known: no budget in dollars holds for it."))
    emit(Progress(f"{'started' if allocation.started else 'reusing'} the server at {allocation.endpoint.url}"))
