"""Read one document: prepare it, lock it, read the pages that are left, and record them."""

import asyncio
import platform
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from datetime import datetime
from typing import TypeVar

from prefect.runtime import flow_run

from flows.engine.pages import read_pages
from flows.engine.server_group import ServerGroup, SharedServerGroup, new_server_group
from flows.orchestrator.blocks import password_of, resolve_output
from flows.ui.live_artifacts import Live, NotShown
from tasks.core.budget import Budget
from tasks.core.corrections import Straightening, Turning
from tasks.core.events import PagesStarted, emit, subscribe
from tasks.core.jobs import Job, Plan
from tasks.documents.render import Renderer
from tasks.reading.events import RunEnded
from tasks.reading.page_reader import PageReader
from tasks.results.manifest import Manifest
from tasks.runs.prepare import Prepared, prepare
from tasks.runs.run_recorder import RunRecorder
from tasks.runs.text_layers import count_text_layers, take_text_layers
from tasks.settings.settings import Settings, load_settings

T = TypeVar("T")


async def read_document(
    job: Job,
    began: datetime,
    end: Callable[[Plan, Manifest | None], T],
    *,
    prepared: Prepared | None = None,
    shared: SharedServerGroup | None = None,
    all_admitted: Callable[[], None] = lambda: None,
    shown: bool = True,
    counted: bool = True,
) -> T:
    """Read one document, and return the state in which its run ends, or whatever `end` makes.

    Args:
        job: what to read, and how.
        began: when the run began first; pages that are read anew are read once since then.
        end: makes the state when the document has ended; the manifest is None if nothing was stored.
        prepared: the job, if the caller has prepared it.
        shared: the servers of the batch that the document belongs to; None if it gets its own.
        all_admitted: called when all its pages have begun, or no more will.
        shown: whether Prefect shows it alone, with artifacts and task runs of its own.
        counted: whether to count the sound text layers of its pages, which takes as long as to render them.

    Raises:
        InputError: the request is wrong, or the document cannot be read.
        UnavailableError: no server or model is available.
        StorageError: the results cannot be stored.
    """
    settings = shared.settings if shared else load_settings()
    if prepared is None:
        job = await resolve_output(job)
        known = await shared.known() if shared else None
        prepared = await prepare(job, settings, await password_of(job), began=began, known=known)
    with closing(prepared.file):
        prepared.store.prepare()
        live = Live(prepared.plan.document.name, settings, has_servers=shared is None) if shown else NotShown()
        async with prepared.lock(), live:
            recorder = RunRecorder(prepared, flow_run_id=flow_run.id, idle_seconds=settings.idle_minutes * 60)
            try:
                await take_text_layers(prepared, recorder)
                if not prepared.nothing_left():
                    with subscribe(live):
                        await _read_on_servers(prepared, settings, recorder, shared, all_admitted, single=shown)
                    if counted:
                        await count_text_layers(prepared, recorder)
            finally:
                manifest = recorder.close()
                if manifest is not None:
                    await live.ended(manifest, prepared.store)
            state = end(prepared.plan, manifest)
            if manifest is not None:
                emit(RunEnded(manifest))
    return state


async def _read_on_servers(
    prepared: Prepared,
    settings: Settings,
    recorder: RunRecorder,
    shared: SharedServerGroup | None,
    all_admitted: Callable[[], None],
    *,
    single: bool,
) -> None:
    plan = prepared.plan
    renderer = Renderer(
        *(prepared.file.path, prepared.setup.call.longest_side, settings.limits, prepared.password),
        turn=plan.options.turn is Turning.AUTO,
        straighten=plan.options.straighten is Straightening.AUTO,
    )
    # Without the model's digest, it is not certain which pages are left.
    expected = await asyncio.to_thread(_left, prepared, recorder, prepared.digest or "")
    async with (
        _servers(prepared, settings, recorder, shared, len(expected)) as group,
        group.work.opened(renderer),
    ):
        page_seconds = group.costs.work_of(plan.document.name)
        with subscribe(recorder.hear), subscribe(page_seconds), subscribe(group.metrics.hear):
            await group.work.run(lambda: renderer.ahead(expected[: plan.slots]))
            warmth = await group.ready()
            servers, call = group.servers, prepared.setup.call_on(warmth.family, warmth.weights)
            recorder.call = call
            reader = PageReader(
                plan,
                call,
                settings.idle_minutes * 60,
                servers=servers,
                renderer=renderer,
                store=prepared.store,
                settings=settings.read,
            )
            # Repeated if another server has another version of the model, whose pages have other identities.
            while not group.stopped and (left := _left(prepared, recorder, servers.digest)):
                async with group.limiter.admission(len(left), all_admitted) as admission:
                    emit(PagesStarted(len(plan.numbers), len(plan.numbers) - len(left), servers.capacity))
                    recorder.pages_start()
                    try:
                        await read_pages(group.work, reader, left, admission, single=single)
                    finally:
                        recorder.pages_end()


@asynccontextmanager
async def _servers(
    prepared: Prepared, settings: Settings, recorder: RunRecorder, shared: SharedServerGroup | None, pages: int
) -> AsyncIterator[ServerGroup]:
    """Yield the servers for a document, the batch's or its own, and have their use recorded."""
    plan = prepared.plan
    holder = f"{plan.document.name} on {platform.node()}"
    if shared is not None:
        group = await shared.acquire(holder)
        with group.costs.observed_by(recorder):
            yield group
        return
    budget = Budget(plan.max_usd, plan.minutes, started=time.monotonic())
    group = new_server_group(prepared.setup, settings, holder, (pages,), budget)
    with group.costs.observed_by(recorder):
        async with group:
            yield group


def _left(prepared: Prepared, recorder: RunRecorder, digest: str) -> Sequence[int]:
    """Return the pages that still have to be read with a model."""
    missing = prepared.store.missing(prepared.plan, digest)
    return [number for number in missing if number not in recorder.done]
