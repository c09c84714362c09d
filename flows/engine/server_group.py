"""The servers of a run, or of a batch whose documents share them: acquired, warmed, used, replaced and released."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from contextvars import copy_context
from dataclasses import replace
from functools import cache
from types import TracebackType
from typing import Self

from flows.engine.supervisor import RunContext, ServerRequirements, ServerSupervisor
from flows.orchestrator.run_events import emit_over_budget
from tasks.backends.base import Backend
from tasks.batches.batch import Batch
from tasks.core.aio import cancel_and_wait
from tasks.core.budget import Budget
from tasks.core.errors import CloudError, ServerError
from tasks.core.events import Progress, RunWarning, emit, subscribe
from tasks.inference.schema import GenerateRequest, ModelDetails
from tasks.metrics.recorder import Recorder
from tasks.metrics.sinks import Identity, sinks_for
from tasks.runs.cost_tracker import UsageObserver
from tasks.runs.prepare import Known
from tasks.runs.setup import Setup, choose_setup
from tasks.serving.warmup import Warmth
from tasks.settings.settings import Settings

_BUDGET_SECONDS = 1.0
_POOL_BUDGET_SECONDS = 15.0
"""How often the spending of all runs is checked: that takes calls to the cloud."""


class ServerGroup(RunContext):
    """As many servers of a backend as the pages of one run are worth. Use as an async context manager.

    Pages begin when the first server is warm; the others join it. A server that fails or goes away is replaced if
    possible.

    Attributes:
        metrics: a listener to the pages that are read on them.
        stopped: the reason why no more pages begin; empty while they do.
    """

    def __init__(self, backend: Backend, requirements: ServerRequirements, settings: Settings) -> None:
        super().__init__()
        self._backend, self._requirements, self._settings = backend, requirements, settings
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: asyncio.Task[None] | None = None
        pool = backend.pool_name or backend.name.value
        identity = Identity(requirements.holder, backend.name, pool, requirements.request.model)
        self.metrics = Recorder(identity, self.servers, self.costs, settings, lambda: sinks_for(settings, identity))
        self.stopped = ""
        self._next_pool_check = 0.0
        self._pool_check = asyncio.Lock()

    async def __aenter__(self) -> Self:
        machines = await self._machines()
        count = min(machines, self._backend.servers)
        await self.work.__aenter__()
        self.metrics.open()
        with subscribe(self.metrics.hear):
            supervisors = [
                asyncio.create_task(
                    ServerSupervisor(self._backend, self._requirements, machines // count, self._settings, self).run()
                )
                for _ in range(count)
            ]
        self._ending = asyncio.create_task(self._end_pages_without_servers(supervisors))
        self._tasks = [*supervisors, asyncio.create_task(self._watch_budget())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await cancel_and_wait(*self._tasks)
        finally:
            if self._ending is not None:
                await asyncio.wait({self._ending})
            await self.metrics.close()
            await self.work.__aexit__(kind, error, trace)

    async def _machines(self) -> int:
        """Return how many machines the pages are worth; pages are counted until they are worth the maximum."""
        scale = self._backend.scale(self._requirements.slots)
        documents, pages = iter(self._requirements.pages), 0
        # In a thread: PDFs may have to be opened.
        while scale.machines(pages) < scale.most and (more := await asyncio.to_thread(next, documents, 0)):
            pages += more
        machines = scale.machines(pages)
        if machines < scale.most:
            emit(Progress(f"{pages} pages are worth {machines} of {scale.most} machines"))
        return machines

    async def ready(self) -> Warmth:
        """Wait until a server is warm, and return how the first one is; raise UnavailableError if none gets warm."""
        warmth = await asyncio.shield(self.first_warm)
        await self._check_budget()  # starting the server may have cost all of it
        return warmth

    async def _watch_budget(self) -> None:
        while not self.stopped:
            await self._check_budget()
            await asyncio.sleep(_BUDGET_SECONDS)

    async def _check_budget(self) -> None:
        """Admit no more pages if a budget is spent, and warn once."""
        budget, usd = self._requirements.budget, self.costs.usd
        spent = budget.exhausted(usd) or await self._pool_budget_spent()
        if spent is None or self.stopped:
            return
        self.stopped = spent
        self.limiter.close()
        emit_over_budget(budget, usd)
        emit(RunWarning(f"No more pages are begun: {spent}. The next run goes on with those that are left."))

    async def _pool_budget_spent(self) -> str | None:
        async with self._pool_check:  # no page begins while a check is under way
            if not self.costs.limited or time.monotonic() < self._next_pool_check:
                return None
            self._next_pool_check = time.monotonic() + _POOL_BUDGET_SECONDS
            try:
                return await self.costs.over_budget()
            except CloudError as error:  # the next check repeats it; an unreachable cloud is no reason to stop reading
                emit(RunWarning(f"The spending of today could not be read: {error}"))
                return None

    async def _end_pages_without_servers(self, supervisors: Sequence[asyncio.Task[None]]) -> None:
        """Wait until every supervisor has ended, and end the pages with the first error."""
        left = set(supervisors)
        first: BaseException | None = None
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for supervisor in done:
                if not supervisor.cancelled() and (error := supervisor.exception()) is not None:
                    first = first or error
                    if left:
                        what = error.what if isinstance(error, ServerError) else error
                        emit(RunWarning(f"{what} Going on with the other servers."))
        if first is None:
            return
        why = first
        if not self.first_warm.done():
            self.first_warm.set_exception(why)
        await self.work.run(lambda: self.servers.end(why))


class SharedServerGroup(AsyncExitStack):
    """The servers of a batch, acquired when the first of its documents needs one. Use as an async context manager.

    `observer` records their use; for `budget` and `pages` see `ServerRequirements`.

    Attributes:
        settings: the run's.
    """

    def __init__(
        self, batch: Batch, settings: Settings, observer: UsageObserver, budget: Budget, pages: Iterable[int]
    ) -> None:
        super().__init__()
        self.settings = settings
        self._batch = batch
        self._observer, self._budget, self._pages = observer, budget, pages
        self._acquiring = asyncio.Lock()
        self._group: ServerGroup | None = None
        self._choosing = asyncio.Lock()
        self._known: Known | None = None
        self._context = copy_context()

    @property
    def stopped(self) -> str:
        """The reason why no more pages begin; empty while they do."""
        return self._group.stopped if self._group is not None else ""

    @property
    def usd(self) -> float:
        """The cost of the machines so far, USD."""
        return self._group.costs.usd if self._group is not None else 0.0

    async def acquire(self, holder: str) -> ServerGroup:
        """Return the servers; the first call acquires them, for `holder`."""
        async with self._acquiring:
            if self._group is None:
                # In the batch's own context: the servers' events are the batch's, not the first document's.
                self._group = await asyncio.create_task(self._start_group(holder), context=self._context)
            return self._group

    async def known(self) -> Known:
        """Return how the batch's documents are read, chosen once. Raises InputError as `choose_setup`."""
        async with self._choosing:
            if self._known is None:
                setup = await asyncio.to_thread(choose_setup, self._batch, self.settings)  # which may ask AWS
                self._known = Known(setup, await setup.choice.backend.digest(setup.model))
            if self._group is not None and self._group.servers.digest:  # of the model that is really used
                return replace(self._known, digest=self._group.servers.digest)
            return self._known

    async def _start_group(self, holder: str) -> ServerGroup:
        setup = (await self.known()).setup
        group = new_server_group(setup, self.settings, holder, self._pages, self._budget)
        self.enter_context(group.costs.observed_by(self._observer))
        return await self.enter_async_context(group)


def new_server_group(
    setup: Setup, settings: Settings, holder: str, pages: Iterable[int], budget: Budget
) -> ServerGroup:
    """Return servers that are not acquired yet, for documents of so many pages each; see `ServerRequirements`."""
    emit(Progress(f"reading with {setup.choice.backend.describe()}: {setup.choice.why}"))
    idle = settings.idle_minutes * 60

    @cache
    def request_by(family: str, weights: str) -> GenerateRequest:
        call = setup.call_on(family, weights)
        if call.profile.name != setup.call.profile.name:
            emit(Progress(f"{call.model} gets the profile {call.profile.name}, by what its server says of it"))
        return call.request(idle)

    def adapt(details: ModelDetails) -> GenerateRequest:
        return request_by(details.family, details.weights)

    request = setup.call.request(idle)
    requirements = ServerRequirements(request, setup.slots, pages, setup.require_gpu, holder, budget, adapt)
    return ServerGroup(setup.choice.backend, requirements, settings)
