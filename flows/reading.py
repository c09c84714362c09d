"""Read a document's pages on a server, and go on with another when its machine goes."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Sequence

from flows.artifacts import ProgressArtifact
from flows.pages import read_pages, warm_up
from flows.shutdown_schedule import schedule_idle_shutdown
from tasks.account import Account
from tasks.backends import Endpoint
from tasks.departure import Departure
from tasks.document import password_from
from tasks.errors import MachineLostError, ModelError, ServerError, UnavailableError
from tasks.ollama_api import OllamaClient
from tasks.plan import Prepared
from tasks.progress import Caution, PagesStart, Stage, heard_by, tell
from tasks.read_page import PageReader
from tasks.render import Renderer
from tasks.settings import Settings
from tasks.slots import Slots
from tasks.warm import Warmth
from tasks.work_loop import WorkLoop

# Page tasks under way beside those in a slot: rendered and waiting, or being recorded.
_AHEAD = 4
# Machines in a row that go without having read a page: something is wrong that another will not mend.
_MOST_LOSSES = 3
_LEFT = "the run left it"


async def read_document(prepared: Prepared, settings: Settings, account: Account) -> None:
    """Acquire a server, warm it, read what is left, release it; as often as its machine goes meanwhile.

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
    """One document on one server after another."""

    def __init__(
        self, prepared: Prepared, settings: Settings, account: Account, work: WorkLoop, renderer: Renderer
    ) -> None:
        self._prepared = prepared
        self._settings = settings
        self._account = account
        self._work = work
        self._renderer = renderer
        self._reader: PageReader | None = None

    async def run(self) -> None:
        """Read until every page is done."""
        await self._work.run(lambda: self._renderer.ahead(self._first_pages()))
        seeking = asyncio.ensure_future(self._acquired())
        losses = 0
        try:
            while True:
                endpoint = await seeking
                seeking = asyncio.ensure_future(self._after(endpoint.departure))
                done_before = len(self._account.done)
                trouble: ServerError | None = None
                try:
                    if await self._on(endpoint):
                        return
                except ServerError as error:
                    if endpoint.machine is None:
                        raise
                    trouble = error
                losses = losses + 1 if len(self._account.done) == done_before else 0
                if losses >= _MOST_LOSSES:
                    raise trouble or MachineLostError(f"No machine stays for long enough: {endpoint.departure.why}.")
                if trouble is not None:
                    tell(Caution(f"{trouble} Going on with another machine."))
                # Only now that it was given back, so that it is not taken again.
                endpoint.departure.announce(_LEFT)
        finally:
            await self._left(seeking)

    async def _on(self, endpoint: Endpoint) -> bool:
        """Read on one server; whether all is done."""
        broken = False
        try:
            warmth = await self._warmed(endpoint)
            await self._pages(endpoint, warmth)
        except UnavailableError as error:
            lost = isinstance(error, MachineLostError) or endpoint.departure.announced
            # Somebody else's model, or page, is no fault of a machine that served before.
            broken = not lost and (isinstance(error, ServerError) or endpoint.started)
            raise
        finally:
            await self._release(endpoint, broken=broken)
        return not endpoint.departure.announced or not self._left_with(warmth.digest)

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

    async def _pages(self, endpoint: Endpoint, warmth: Warmth) -> None:
        plan = self._prepared.plan
        self._account.warmed(endpoint, warmth)
        left = self._left_with(warmth.digest)
        async with self._work.opened(endpoint.client(self._settings.read.timeout_seconds)) as client:
            reader = self._reader_on(client, warmth)
            tell(PagesStart(len(plan.numbers), len(plan.numbers) - len(left), warmth.slots))
            self._account.pages_start()
            try:
                workers = warmth.slots + _AHEAD
                await endpoint.departure.unless_gone(read_pages(self._work, reader, left, workers, endpoint.departure))
            finally:
                self._account.pages_end()

    def _reader_on(self, client: OllamaClient, warmth: Warmth) -> PageReader:
        slots = Slots(warmth.slots)
        if self._reader is None:
            self._reader = PageReader(
                self._prepared.plan,
                warmth.digest,
                self._prepared.request(self._settings.idle_minutes * 60),
                client=client,
                slots=slots,
                renderer=self._renderer,
                store=self._prepared.store,
                settings=self._settings.read,
            )
        else:
            self._reader.move(warmth.digest, client, slots)
        return self._reader

    def _left_with(self, digest: str) -> Sequence[int]:
        """The pages that are still to be read with a model, neither standing nor done in this run."""
        plan, store = self._prepared.plan, self._prepared.store
        numbers = plan.numbers if plan.force else store.missing(plan, digest)
        return [number for number in numbers if number not in self._account.done]

    def _first_pages(self) -> Sequence[int]:
        """What will be read first, as far as it is known before the model is."""
        plan, digest = self._prepared.plan, self._prepared.digest
        return (self._left_with(digest) if digest else plan.numbers)[: plan.slots]

    async def _acquired(self) -> Endpoint:
        plan = self._prepared.plan
        holder = f"{plan.document.name} on {platform.node()}"
        endpoint = await self._prepared.choice.backend.acquire(plan.slots, holder)
        tell(Stage(f"{'started' if endpoint.started else 'reusing'} the server at {endpoint.url}"))
        return endpoint

    async def _after(self, departure: Departure) -> Endpoint:
        """Another server, as soon as the machine of this one is about to go."""
        why = await departure.wait_announced()
        if why != _LEFT:
            tell(Caution(f"No more pages go to this machine: {why}."))
        return await self._acquired()

    async def _release(self, endpoint: Endpoint, *, broken: bool) -> None:
        release = await self._prepared.choice.backend.release(endpoint, broken=broken)
        if endpoint.machine is not None:
            self._account.released(endpoint.machine, "it did not work" if broken else endpoint.departure.why)
            if release.look_at is not None:
                await schedule_idle_shutdown(self._settings, endpoint.machine.id, release.look_at)
        tell(Stage(f"the server {release.told}"))

    async def _left(self, seeking: asyncio.Future[Endpoint]) -> None:
        """Give back what was sought and is not needed any more."""
        seeking.cancel()
        await asyncio.wait({seeking})
        if not seeking.cancelled() and seeking.exception() is None:
            await self._release(seeking.result(), broken=False)
