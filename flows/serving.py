"""The servers of a backend while something is read on them: acquired, warmed, used, replaced and released."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from flows.pages import warm_up
from flows.shutdown_schedule import schedule_idle_shutdown
from tasks.backends import Backend, Endpoint, MachineFacts
from tasks.errors import MachineLostError, ModelError, ServerError, UnavailableError
from tasks.ollama_api import GenerateRequest, OllamaClient
from tasks.pace import Pace
from tasks.progress import Caution, Stage, tell
from tasks.servers import Server, Servers
from tasks.settings import Settings
from tasks.slots import Share
from tasks.warm import Warmth
from tasks.window import Window
from tasks.work_loop import WorkLoop

# Pages open beside those in a slot: rendered and waiting, or being recorded.
_AHEAD = 4
# Servers in a row that go without a page having been answered: something is wrong that another will not mend.
_MOST_LOSSES = 3


@dataclass(frozen=True)
class Wanted:
    """What is wanted of servers.

    Attributes:
        request: the options of all requests.
        slots: pages in flight on each, at the most.
        require_gpu: a model that is not wholly in GPU memory is an error.
        holder: who uses them, for people who wonder why they run.
    """

    request: GenerateRequest
    slots: int
    require_gpu: bool
    holder: str


class Books(Protocol):
    """Who keeps account of servers."""

    def warmed(self, endpoint: Endpoint, warmth: Warmth) -> None:
        """A server is warm."""
        ...

    def released(self, machine: MachineFacts, ended: str) -> None:
        """A machine was given back; `ended` says why before all was read, or is empty."""
        ...


class Serving:
    """As many servers as the backend has for one run. Use as an async context manager.

    The first that is warm lets pages begin; the others join it. One that goes, or fails, is replaced if it can be.

    Attributes:
        servers: those that are warm.
        window: how many pages may be open at once; it follows the servers' slots.
    """

    def __init__(self, backend: Backend, wanted: Wanted, settings: Settings, work: WorkLoop, books: Books) -> None:
        self._backend = backend
        self._wanted = wanted
        self._settings = settings
        self._work = work
        self._books = books
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._berths: list[asyncio.Task[None]] = []
        self._watching: asyncio.Task[None] | None = None
        self.servers = Servers()
        self.window = Window(_AHEAD)

    async def __aenter__(self) -> Self:
        """Begin to acquire servers."""
        self._berths = [asyncio.create_task(self._berth()) for _ in range(self._backend.servers)]
        self._watching = asyncio.create_task(self._while_any(self._berths))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release all servers."""
        for berth in self._berths:
            berth.cancel()
        if self._watching is not None:
            await asyncio.wait({self._watching})

    async def ready(self) -> None:
        """Wait until a server is warm.

        Raises:
            UnavailableError: none will be.
        """
        await asyncio.shield(self._ready)

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
                        tell(Caution(f"{error} Going on with the other servers."))
        if first is None:
            return
        why = first
        if not self._ready.done():
            self._ready.set_exception(why)
        await self._work.run(lambda: self.servers.end(why))

    async def _berth(self) -> None:
        """Keep one server at work, and another in its place as soon as it is about to go.

        Raises:
            UnavailableError: no other is to be had, or there is no use in it.
        """
        visits: set[asyncio.Task[None]] = set()
        losses = 0
        try:
            while True:
                endpoint = await self._backend.acquire(self._wanted.slots, self._wanted.holder)
                tell(Stage(f"{'started' if endpoint.started else 'reusing'} the server at {endpoint.url}"))
                answered_before = self.servers.answered
                visit = asyncio.create_task(self._visit(endpoint))
                visits.add(visit)
                going = asyncio.create_task(endpoint.departure.wait_announced())
                await asyncio.wait({visit, going}, return_when=asyncio.FIRST_COMPLETED)
                going.cancel()
                trouble = visit.exception() if visit.done() else None
                if trouble is not None and not (isinstance(trouble, ServerError) and endpoint.replaceable):
                    raise trouble
                losses = losses + 1 if self.servers.answered == answered_before else 0
                if losses >= _MOST_LOSSES:
                    raise trouble or MachineLostError(f"No machine stays for long enough: {endpoint.departure.why}.")
                why = f"{trouble}" if trouble else f"No more pages go to this machine: {endpoint.departure.why}."
                tell(Caution(f"{why} Going on with another."))
        finally:
            for visit in visits:
                visit.cancel()
            if visits:
                await asyncio.wait(visits)

    async def _visit(self, endpoint: Endpoint) -> None:
        """Use one server, from its warm-up until its machine is about to go or nobody needs it, and release it."""
        broken = False
        try:
            warmth = await self._warmed(endpoint)
            await self._used(endpoint, warmth)
        except UnavailableError as error:
            lost = isinstance(error, MachineLostError) or endpoint.departure.announced
            # Somebody else's model, or page, is no fault of a machine that served before.
            broken = not lost and (isinstance(error, ServerError) or endpoint.started)
            raise
        finally:
            await self._release(endpoint, broken=broken)

    async def _warmed(self, endpoint: Endpoint) -> Warmth:
        """Warm the model up, and say what the machine logged if that fails."""
        wanted = self._wanted
        try:
            return await endpoint.departure.unless_gone(
                warm_up(wanted.request, endpoint, self._settings.warm, require_gpu=wanted.require_gpu)
            )
        except (ServerError, ModelError) as error:
            if endpoint.log_tail is None or isinstance(error, MachineLostError):
                raise
            tail = await endpoint.log_tail()
            told = f"{error} The machine's log ends: {tail}" if tail else str(error)
            if endpoint.started:
                # Another would be set up alike, fail alike, and cost the same.
                raise UnavailableError(told) from None
            raise type(error)(told) from None

    async def _used(self, endpoint: Endpoint, warmth: Warmth) -> None:
        """Have pages read on a warm server until it goes; those on it then may end.

        Raises:
            UnavailableError: it failed.
        """
        if self.servers.any_left and self.servers.digest != warmth.digest:
            model = self._wanted.request.model
            raise ModelError(f"{endpoint.url} has another version of {model} than the other servers.")
        self._books.warmed(endpoint, warmth)
        async with (
            self._work.opened(endpoint.client(self._settings.read.timeout_seconds)) as client,
            self._work.opened(self._joined(endpoint, warmth, client)) as server,
        ):
            if not self._ready.done():
                self._ready.set_result(None)
            failed = asyncio.wrap_future(server.failure)
            going = asyncio.create_task(endpoint.departure.wait_announced())
            either: set[asyncio.Future[Any]] = {failed, going}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                going.cancel()
            if failed.done():
                raise failed.result()
            await self._work.run(lambda: self.servers.drained(server))

    @asynccontextmanager
    async def _joined(self, endpoint: Endpoint, warmth: Warmth, client: OllamaClient) -> AsyncIterator[Server]:
        """A server among the others, with a share of its slots."""
        share = Share(endpoint.ledger, self._wanted.slots, warmth.measured, self.servers.deal)
        await share.open()
        pace = Pace(self._settings.read, self._wanted.request.num_predict)
        server = Server(client, warmth.digest, share, pace, endpoint.departure)
        try:
            self.servers.join(server)
            self.window.resize(self.servers.capacity + _AHEAD)
            yield server
        finally:
            self.servers.leave(server)
            await share.close()

    async def _release(self, endpoint: Endpoint, *, broken: bool) -> None:
        release = await self._backend.release(endpoint, broken=broken)
        if endpoint.machine is not None:
            self._books.released(endpoint.machine, "it did not work" if broken else endpoint.departure.why)
            if release.look_at is not None:
                await schedule_idle_shutdown(self._settings, endpoint.machine.id, release.look_at)
        tell(Stage(f"the server {release.told}"))
