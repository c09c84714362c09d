"""Read a document's pages on whatever servers there are."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable, Iterable, Sequence

from flows.engine.pages import read_pages
from flows.engine.server_group import ServerGroup
from flows.engine.shared_server_group import servers_for
from flows.engine.supervisor import ServerRequirements
from tasks.core.budget import Budget
from tasks.core.events import PagesStarted, Progress, RunWarning, emit, subscribe
from tasks.documents.render import Renderer
from tasks.reading.page_reader import PageReader
from tasks.runs.prepare import Prepared
from tasks.runs.run_recorder import RunRecorder
from tasks.settings.settings import Settings


async def read_document(prepared: Prepared, settings: Settings, account: RunRecorder) -> None:
    """Read what is left of a document, on as many servers as the backend has for it.

    Raises:
        UnavailableError: no server or no model is to be had.
        StorageError: results cannot be stored.
    """
    plan = prepared.plan
    request = prepared.request(settings.idle_minutes * 60)
    renderer = Renderer(prepared.file.path, plan.options.longest_side, settings.limits, prepared.password)

    def new_serving(budget: Budget, pages: Iterable[int]) -> ServerGroup:
        told = f"reading with {prepared.choice.backend.describe()}: {prepared.choice.why}"
        emit(RunWarning(f"{told}.") if prepared.choice.unasked else Progress(told))
        holder = f"{plan.document.name} on {platform.node()}"
        wanted = ServerRequirements(request, plan.slots, pages, plan.require_gpu, holder, budget)
        return ServerGroup(prepared.choice.backend, wanted, settings)

    budget = Budget(plan.max_usd, plan.minutes, started=time.monotonic())
    expected = await asyncio.to_thread(_expected, prepared, account)
    async with (
        servers_for(account, new_serving, budget, len(expected)) as (serving, all_begun),
        serving.work.opened(renderer),
    ):
        work = serving.books.work_of(plan.document.name)
        with subscribe(account.hear), subscribe(work), subscribe(serving.metrics.hear):
            await serving.work.run(lambda: renderer.ahead(expected[: plan.slots]))
            await serving.ready()
            servers = serving.servers
            reader = PageReader(
                plan, request, servers=servers, renderer=renderer, store=prepared.store, settings=settings.read
            )
            # Again if another server's version of the model is another: its pages are others.
            while not serving.stopped and (left := _left_with(prepared, account, servers.digest)):
                async with serving.line() as leave:

                    def begun(leave: Callable[[], None] = leave) -> None:
                        leave()
                        all_begun()

                    emit(PagesStarted(len(plan.numbers), len(plan.numbers) - len(left), servers.capacity))
                    account.pages_start()
                    try:
                        await read_pages(serving.work, reader, left, serving.window, begun)
                    finally:
                        account.pages_end()


def _left_with(prepared: Prepared, account: RunRecorder, digest: str) -> Sequence[int]:
    """The pages that are still to be read with a model, neither standing nor done in this run."""
    missing = prepared.store.missing(prepared.plan, digest)
    return [number for number in missing if number not in account.done]


def _expected(prepared: Prepared, account: RunRecorder) -> Sequence[int]:
    """What will be read, as far as it is known before the model is."""
    return _left_with(prepared, account, prepared.digest) if prepared.digest else prepared.plan.numbers
