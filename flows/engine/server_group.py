"""The servers of a backend while something is read on them: acquired, warmed, used, replaced and released."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from flows.engine.supervisor import RunContext, ServerRequirements, ServerSupervisor
from flows.orchestrator.run_events import tell_over_budget
from tasks.backends.base import Backend
from tasks.core.aio import cancel_and_wait
from tasks.core.errors import CloudError, ServerError
from tasks.core.events import Progress, RunWarning, emit, subscribe
from tasks.core.jobs import ON_AWS
from tasks.metrics.recorder import Identity, Recorder
from tasks.metrics.sinks import sinks_for
from tasks.settings.settings import Settings

_BUDGET_SECONDS = 1.0
_ALL_SECONDS = 15.0
"""How often what all runs have spent is asked for: it takes calls to the cloud."""


class ServerGroup:
    """As many servers of a backend as one run's pages are worth. Use as an async context manager.

    The first that is warm lets pages begin; the others join it. One that goes, or fails, is replaced if it can be.

    Attributes:
        servers: those that are warm.
        window: how many pages may be open at once; it follows the servers' slots. Closed when the budget is spent.
        work: the loop on which pages are read.
        books: keep account of the servers.
        metrics: listens to what is read on them.
        stopped: why no page is begun any more; empty while they are.
    """

    def __init__(self, backend: Backend, wanted: ServerRequirements, settings: Settings) -> None:
        self._backend, self._wanted, self._settings = backend, wanted, settings
        self._common = common = RunContext()
        self._budget = wanted.budget
        self._ready = common.ready
        self._line = asyncio.Lock()
        self._keeping: list[asyncio.Task[None]] = []
        self._watching: asyncio.Task[None] | None = None
        self.servers, self.window, self.work, self.books = common.servers, common.window, common.work, common.books
        pool = settings.ec2.pool if backend.name in ON_AWS else backend.name.value
        whose = Identity(wanted.holder, backend.name, pool, wanted.request.model)
        self.metrics = Recorder(whose, self.servers, self.books, settings, lambda: sinks_for(settings, whose))
        self.stopped = ""
        self._ask_at = 0.0

    async def __aenter__(self) -> Self:
        """Begin to acquire servers."""
        machines = await self._machines()
        servers = min(machines, self._backend.servers)
        await self.work.__aenter__()
        self.metrics.open()
        with subscribe(self.metrics.hear):
            keeping = [
                asyncio.create_task(
                    ServerSupervisor(
                        self._backend, self._wanted, machines // servers, self._settings, self._common
                    ).keep()
                )
                for _ in range(servers)
            ]
        self._watching = asyncio.create_task(self._while_any(keeping))
        self._keeping = [*keeping, asyncio.create_task(self._watch_budget())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release all servers."""
        try:
            await cancel_and_wait(*self._keeping)
        finally:
            if self._watching is not None:
                await asyncio.wait({self._watching})
            await self.metrics.close()
            await self.work.__aexit__(kind, error, trace)

    async def _machines(self) -> int:
        """How many the pages are worth; they are counted until they are worth all that there may be."""
        scale = self._backend.scale(self._wanted.slots)
        documents, pages = iter(self._wanted.pages), 0
        # PDFs may be opened for it, which takes a while.
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
        await asyncio.shield(self._ready)
        await self._check_budget()  # its start may have cost all of it

    @asynccontextmanager
    async def line(self) -> AsyncIterator[Callable[[], None]]:
        """Be the one document whose pages are begun; what is given ends that, before the pages themselves end."""
        await self._line.acquire()
        left = False

        def leave() -> None:
            nonlocal left
            if not left:
                left = True
                self._line.release()

        try:
            yield leave
        finally:
            leave()

    async def _watch_budget(self) -> None:
        while not self.stopped:
            await self._check_budget()
            await asyncio.sleep(_BUDGET_SECONDS)

    async def _check_budget(self) -> None:
        """Close the window if a budget is spent; why is told once."""
        spent = self._budget.exhausted(self.books.usd) or await self._all_spent()
        if spent is None or self.stopped:
            return
        self.stopped = spent
        self.window.close()
        tell_over_budget(self._budget, self.books.usd)
        emit(RunWarning(f"No more pages are begun: {spent}. The next run goes on with those that are left."))

    async def _all_spent(self) -> str | None:
        if not self.books.limited or time.monotonic() < self._ask_at:
            return None
        self._ask_at = time.monotonic() + _ALL_SECONDS
        try:
            return await self.books.over_budget()
        except CloudError as error:  # it is asked again; a cloud out of reach is no reason to stop reading
            emit(RunWarning(f"What was spent today is not known: {error}"))
            return None

    async def _while_any(self, berths: Sequence[asyncio.Task[None]]) -> None:
        """Wait until no berth has a server any more, and have the pages end for the reason."""
        left = set(berths)
        first: BaseException | None = None
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for berth in done:
                if not berth.cancelled() and (error := berth.exception()) is not None:
                    first = first or error
                    if left:
                        what = error.what if isinstance(error, ServerError) else error
                        emit(RunWarning(f"{what} Going on with the other servers."))
        if first is None:
            return
        why = first
        if not self._ready.done():
            self._ready.set_exception(why)
        await self.work.run(lambda: self.servers.end(why))
