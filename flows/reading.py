"""Read a document's pages on a server, and go on with another when its machine goes."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import task_run
from prefect.tasks import Task

from flows.artifacts import ProgressArtifact
from flows.shutdown_schedule import schedule_idle_shutdown
from tasks.account import Account
from tasks.backends import Endpoint
from tasks.departure import Departure
from tasks.document import password_from
from tasks.errors import HearthError, MachineLostError, ModelError, PageError, ServerError, UnavailableError
from tasks.ollama_api import OllamaClient
from tasks.plan import Prepared
from tasks.progress import Caution, Event, PageDone, PagesStart, Stage, heard_by, tell
from tasks.read_page import PageReader
from tasks.render import Renderer
from tasks.settings import Settings
from tasks.slots import Slots
from tasks.warm import Warmth, warm
from tasks.work_loop import WorkLoop

T = TypeVar("T")

# Page tasks under way beside those in a slot: rendered and waiting, or being recorded.
_AHEAD = 4
_RETRY_SECONDS = 0.5
# Machines in a row that go without having read a page: something is wrong that another will not mend.
_MOST_LOSSES = 3
_LEFT = "the run left it"


@task(name="warm-up", task_run_name="warm up {prepared.plan.model}", cache_policy=NO_CACHE, persist_result=False)
async def warm_up(prepared: Prepared, endpoint: Endpoint, settings: Settings) -> Warmth:
    """Get the plan's model warm on a server; see `tasks.warm`."""
    async with endpoint.client(settings.warm.load_seconds) as client:
        request = prepared.request(settings.idle_minutes * 60)
        require_gpu = prepared.plan.require_gpu
        return await warm(client, request, endpoint.slots, settings.warm, require_gpu=require_gpu)


async def _may_help(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether reading the page again may help; what else goes wrong ends the run."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, PageError) and not error.final


@task(
    name="read-page",
    task_run_name="{reader.document} page {number}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_delay_seconds=_RETRY_SECONDS,
    retry_condition_fn=_may_help,
)
async def read_page(work: WorkLoop, reader: PageReader, number: int) -> None:
    """Read one page and store its result; see `PageReader.read`. Prefect's retries are the page's attempts."""
    attempt = task_run.run_count
    await work.run(lambda: reader.read(number, attempt))


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
        with heard_by(artifact), heard_by(account.hear), heard_by(reading.hear):
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
        self._digest: str | None = None
        self._done: set[int] = set()

    def hear(self, event: Event) -> None:
        """A listener: notes the pages that are done, whether they were read or failed."""
        if isinstance(event, PageDone):
            self._done.add(event.result.page)

    async def run(self) -> None:
        """Read until every page is done."""
        await self._work.run(lambda: self._renderer.ahead(self._first_pages()))
        seeking = asyncio.ensure_future(self._acquired())
        losses = 0
        try:
            while True:
                endpoint = await seeking
                seeking = asyncio.ensure_future(self._after(endpoint.departure))
                done_before = len(self._done)
                trouble: ServerError | None = None
                try:
                    if await self._on(endpoint):
                        return
                except ServerError as error:
                    if endpoint.machine is None:
                        raise
                    trouble = error
                losses = losses + 1 if len(self._done) == done_before else 0
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
            return await _while_there(endpoint.departure, warm_up(self._prepared, endpoint, self._settings))
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
                await _while_there(
                    endpoint.departure, _read_pages(self._work, reader, left, warmth.slots + _AHEAD, endpoint.departure)
                )
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
        self._digest = warmth.digest
        return self._reader

    def _left_with(self, digest: str) -> Sequence[int]:
        """The pages that are still to be read with a model."""
        plan, store = self._prepared.plan, self._prepared.store
        if self._digest not in {None, digest}:
            self._done.clear()  # another version of the model has another answer
        standing = plan.numbers if plan.force else store.missing(plan, digest)
        return [number for number in standing if number not in self._done]

    def _first_pages(self) -> Sequence[int]:
        """What will be read first, as far as it is known before the model is."""
        digest = self._prepared.digest
        left = self._left_with(digest) if digest else self._prepared.plan.numbers
        return left[: self._prepared.plan.slots]

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


async def _read_pages(
    work: WorkLoop, reader: PageReader, numbers: Iterable[int], workers: int, departure: Departure
) -> None:
    """Map the page task over the numbers, `workers` of them under way at once. A failed page leaves the others be.

    When the machine's departure is announced no more pages are begun; those under way end.
    """
    todo = iter(numbers)
    read = read_page.with_options(retries=reader.attempts - 1)

    async def worker() -> None:
        while not departure.announced and (number := next(todo, None)) is not None:
            with suppress(PageError):
                await read(work, reader, number)

    trouble: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(worker())
    except ExceptionGroup as met:
        # All workers met the same trouble; it is told once.
        trouble = next((error for error in met.exceptions if isinstance(error, HearthError)), met)
    if trouble is not None:
        raise trouble


async def _while_there(departure: Departure, work: Coroutine[Any, Any, T]) -> T:
    """Do something for as long as the machine is there.

    Raises:
        MachineLostError: it has gone.
    """
    working, gone = asyncio.ensure_future(work), asyncio.ensure_future(departure.wait_gone())
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise MachineLostError(f"The machine went away: {gone.result()}.")
    finally:
        gone.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
