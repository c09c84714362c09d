"""The servers of a backend while something is read on them: acquired, warmed, used, replaced and released."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from flows.engine.supervisor import RunContext, ServerRequirements, ServerSupervisor
from flows.orchestrator.run_events import emit_over_budget
from tasks.backends.base import Backend
from tasks.core.aio import cancel_and_wait
from tasks.core.budget import Budget
from tasks.core.errors import CloudError, ServerError
from tasks.core.events import Progress, RunWarning, emit, subscribe
from tasks.metrics.recorder import Recorder
from tasks.metrics.sinks import Identity, sinks_for
from tasks.runs.prepare import Setup
from tasks.settings.settings import Settings

_BUDGET_SECONDS = 1.0
_POOL_BUDGET_SECONDS = 15.0
"""How often the spending of all runs is asked for: it takes calls to the cloud."""


class ServerGroup:
    """As many servers of a backend as the pages of one run are worth. Use as an async context manager.

    Pages begin when the first server is warm; the others join it. A server that goes or fails is replaced if it can be.

    Attributes:
        servers: those that are warm.
        limiter: how many pages may be open at once, by the servers' slots; closed when a budget is spent.
        work: the loop on which pages are read.
        costs: what the servers cost, and who observes their use.
        metrics: a listener to what is read on them.
        stopped: why no more pages are begun; empty while they are.
    """

    def __init__(self, backend: Backend, requirements: ServerRequirements, settings: Settings) -> None:
        self._backend, self._requirements, self._settings = backend, requirements, settings
        self._context = context = RunContext()
        self.servers, self.limiter, self.work, self.costs = (
            context.servers,
            context.limiter,
            context.work,
            context.costs,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: asyncio.Task[None] | None = None
        pool = backend.pool_name or backend.name.value
        identity = Identity(requirements.holder, backend.name, pool, requirements.request.model)
        self.metrics = Recorder(identity, self.servers, self.costs, settings, lambda: sinks_for(settings, identity))
        self.stopped = ""
        self._next_pool_check = 0.0
        self._pool_check = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Begin to acquire servers."""
        machines = await self._machines()
        count = min(machines, self._backend.servers)
        await self.work.__aenter__()
        self.metrics.open()
        with subscribe(self.metrics.hear):
            supervisors = [
                asyncio.create_task(
                    ServerSupervisor(
                        self._backend, self._requirements, machines // count, self._settings, self._context
                    ).run()
                )
                for _ in range(count)
            ]
        self._ending = asyncio.create_task(self._end_pages_without_servers(supervisors))
        self._tasks = [*supervisors, asyncio.create_task(self._watch_budget())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release all servers."""
        try:
            await cancel_and_wait(*self._tasks)
        finally:
            if self._ending is not None:
                await asyncio.wait({self._ending})
            await self.metrics.close()
            await self.work.__aexit__(kind, error, trace)

    async def _machines(self) -> int:
        """Return how many machines the pages are worth; pages are counted until they are worth all there may be."""
        scale = self._backend.scale(self._requirements.slots)
        documents, pages = iter(self._requirements.pages), 0
        # In a thread: PDFs may have to be opened.
        while scale.machines(pages) < scale.most and (more := await asyncio.to_thread(next, documents, 0)):
            pages += more
        machines = scale.machines(pages)
        if machines < scale.most:
            emit(Progress(f"{pages} pages are worth {machines} of {scale.most} machines"))
        return machines

    async def ready(self) -> None:
        """Wait until a server is warm.

        Raises:
            UnavailableError: none will be.
        """
        await asyncio.shield(self._context.ready)
        await self._check_budget()  # starting the server may have cost all of it

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
            return await self._check_pool_budget()

    async def _check_pool_budget(self) -> str | None:
        if not self.costs.limited or time.monotonic() < self._next_pool_check:
            return None
        self._next_pool_check = time.monotonic() + _POOL_BUDGET_SECONDS
        try:
            return await self.costs.over_budget()
        except CloudError as error:  # it is asked again; a cloud out of reach is no reason to stop reading
            emit(RunWarning(f"The spending of today could not be read: {error}"))
            return None

    async def _end_pages_without_servers(self, supervisors: Sequence[asyncio.Task[None]]) -> None:
        """Wait until no supervisor has a server any more, and end the pages with the first error."""
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
        if not self._context.ready.done():
            self._context.ready.set_exception(why)
        await self.work.run(lambda: self.servers.end(why))


def new_server_group(
    setup: Setup, settings: Settings, holder: str, pages: Iterable[int], budget: Budget
) -> ServerGroup:
    """Return the servers for documents of so many pages each, not yet acquired; see `ServerRequirements`."""
    emit(Progress(f"reading with {setup.choice.backend.describe()}: {setup.choice.why}"))
    request = setup.call.request(settings.idle_minutes * 60)
    requirements = ServerRequirements(request, setup.slots, pages, setup.require_gpu, holder, budget)
    return ServerGroup(setup.choice.backend, requirements, settings)
