"""Read a document's pages on the servers of a backend, and go on with others when machines go."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from flows.artifacts import ProgressArtifact
from flows.pages import read_pages, warm_up
from flows.shutdown_schedule import schedule_idle_shutdown
from tasks.account import Account
from tasks.backends import Endpoint
from tasks.document import password_from
from tasks.errors import MachineLostError, ModelError, ServerError, UnavailableError
from tasks.ollama_api import OllamaClient
from tasks.pace import Pace
from tasks.plan import Prepared
from tasks.progress import Caution, PagesStart, Stage, heard_by, tell
from tasks.read_page import PageReader
from tasks.render import Renderer
from tasks.servers import Server, Servers
from tasks.settings import Settings
from tasks.slots import Share
from tasks.warm import Warmth
from tasks.window import Window
from tasks.work_loop import WorkLoop

# Pages open beside those in a slot: rendered and waiting, or being recorded.
_AHEAD = 4
# Servers in a row that go without a page having been read: something is wrong that another will not mend.
_MOST_LOSSES = 3


async def read_document(prepared: Prepared, settings: Settings, account: Account) -> None:
    """Read what is left of a document, on as many servers as the backend has for it.

    Raises:
        UnavailableError: no server or no model is to be had.
        StorageError: results cannot be stored.
    """
    plan = prepared.plan
    tell(Stage(f"reading with {prepared.choice.backend.describe()}: {prepared.choice.why}"))
    renderer = Renderer(
        plan.document.path, plan.options.longest_side, settings.limits, password_from(plan.password_env)
    )
    async with WorkLoop() as work, work.opened(renderer), ProgressArtifact(plan.document.name) as artifact:
        reading = _Reading(prepared, settings, account, work, renderer)
        with heard_by(artifact), heard_by(account.hear):
            await reading.run()


class _Reading:
    """One document: its pages, and beside them the servers, each acquired, warmed, used and released by itself."""

    def __init__(
        self, prepared: Prepared, settings: Settings, account: Account, work: WorkLoop, renderer: Renderer
    ) -> None:
        self._prepared = prepared
        self._settings = settings
        self._account = account
        self._work = work
        self._renderer = renderer
        self._request = prepared.request(settings.idle_minutes * 60)
        self._servers = Servers()
        self._window = Window(_AHEAD)
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Read until every page is done. The first server that is warm begins; the others join it."""
        await self._work.run(lambda: self._renderer.ahead(self._first_pages()))
        berths = [asyncio.create_task(self._berth()) for _ in range(self._prepared.choice.backend.servers)]
        keeping = asyncio.create_task(self._while_any(berths))
        try:
            await self._ready
            await self._pages()
        finally:
            for berth in berths:
                berth.cancel()
            await asyncio.wait({keeping})

    async def _pages(self) -> None:
        plan = self._prepared.plan
        reader = PageReader(
            plan,
            self._request,
            servers=self._servers,
            renderer=self._renderer,
            store=self._prepared.store,
            settings=self._settings.read,
        )
        # Again if another server's version of the model is another: its pages are others.
        while left := self._left_with(self._servers.digest):
            tell(PagesStart(len(plan.numbers), len(plan.numbers) - len(left), self._servers.capacity))
            self._account.pages_start()
            try:
                await read_pages(self._work, reader, left, self._window)
            finally:
                self._account.pages_end()

    async def _while_any(self, berths: Sequence[asyncio.Task[None]]) -> None:
        """Wait until no berth has a server any more, and have the pages end for the reason."""
        left = set(berths)
        why: BaseException | None = None
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for berth in done:
                if not berth.cancelled() and (error := berth.exception()) is not None:
                    why = why or error
                    if left:
                        tell(Caution(f"{error} Going on with the other servers."))
        if why is None:
            return
        if not self._ready.done():
            self._ready.set_exception(why)
        else:
            error = why
            await self._work.run(lambda: self._servers.end(error))

    async def _berth(self) -> None:
        """Keep one server at work, and another in its place as soon as it is about to go.

        Raises:
            UnavailableError: no other is to be had, or there is no use in it.
        """
        visits: set[asyncio.Task[None]] = set()
        losses = 0
        try:
            while True:
                endpoint = await self._acquired()
                done_before = len(self._account.done)
                visit = asyncio.create_task(self._visit(endpoint))
                visits.add(visit)
                going = asyncio.create_task(endpoint.departure.wait_announced())
                await asyncio.wait({visit, going}, return_when=asyncio.FIRST_COMPLETED)
                going.cancel()
                trouble = visit.exception() if visit.done() else None
                if trouble is not None and not (isinstance(trouble, ServerError) and endpoint.replaceable):
                    raise trouble
                losses = losses + 1 if len(self._account.done) == done_before else 0
                if losses >= _MOST_LOSSES:
                    raise trouble or MachineLostError(f"No machine stays for long enough: {endpoint.departure.why}.")
                why = f"{trouble}" if trouble else f"No more pages go to this machine: {endpoint.departure.why}."
                tell(Caution(f"{why} Going on with another."))
        finally:
            for visit in visits:
                visit.cancel()
            if visits:
                await asyncio.wait(visits)

    async def _acquired(self) -> Endpoint:
        plan = self._prepared.plan
        holder = f"{plan.document.name} on {platform.node()}"
        endpoint = await self._prepared.choice.backend.acquire(plan.slots, holder)
        tell(Stage(f"{'started' if endpoint.started else 'reusing'} the server at {endpoint.url}"))
        return endpoint

    async def _visit(self, endpoint: Endpoint) -> None:
        """Use one server, from its warm-up until its machine is about to go or the pages are done, and release it."""
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
        try:
            return await endpoint.departure.unless_gone(warm_up(self._prepared, endpoint, self._settings))
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
        if self._servers.any_left and self._servers.digest != warmth.digest:
            raise ModelError(f"{endpoint.url} has another version of {self._request.model} than the other servers.")
        self._account.warmed(endpoint, warmth)
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
            await self._work.run(lambda: self._servers.drained(server))

    @asynccontextmanager
    async def _joined(self, endpoint: Endpoint, warmth: Warmth, client: OllamaClient) -> AsyncIterator[Server]:
        """A server among the others, with a share of its slots."""
        share = Share(endpoint.ledger, self._prepared.plan.slots, warmth.measured, self._servers.deal)
        await share.open()
        pace = Pace(self._settings.read, self._request.num_predict)
        server = Server(client, warmth.digest, share, pace, endpoint.departure)
        try:
            self._servers.join(server)
            self._window.resize(self._servers.capacity + _AHEAD)
            yield server
        finally:
            self._servers.leave(server)
            await share.close()

    async def _release(self, endpoint: Endpoint, *, broken: bool) -> None:
        release = await self._prepared.choice.backend.release(endpoint, broken=broken)
        if endpoint.machine is not None:
            self._account.released(endpoint.machine, "it did not work" if broken else endpoint.departure.why)
            if release.look_at is not None:
                await schedule_idle_shutdown(self._settings, endpoint.machine.id, release.look_at)
        tell(Stage(f"the server {release.told}"))

    def _left_with(self, digest: str) -> Sequence[int]:
        """The pages that are still to be read with a model, neither standing nor done in this run."""
        plan, store = self._prepared.plan, self._prepared.store
        numbers = plan.numbers if plan.force else store.missing(plan, digest)
        return [number for number in numbers if number not in self._account.done]

    def _first_pages(self) -> Sequence[int]:
        """What will be read first, as far as it is known before the model is."""
        plan, digest = self._prepared.plan, self._prepared.digest
        return (self._left_with(digest) if digest else plan.numbers)[: plan.slots]
