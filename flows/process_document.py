"""The main job: one PDF, end to end.

Job -> Backend.acquire -> Endpoint -> warm -> Slots -> pages -> PageResult -> store -> release -> idle shutdown.
"""

# No postponed annotations here: a served flow is pickled, and would lose sight of `Job`.

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.runtime import flow_run, task_run
from prefect.states import Completed, Failed
from prefect.tasks import Task

from flows.artifacts import ProgressArtifact, log_to_run, show_summary
from tasks.account import Account
from tasks.backends import Backend, Endpoint
from tasks.document import password_from
from tasks.errors import HearthError, PageError
from tasks.jobs import Job, Manifest, PageStatus, RunStatus
from tasks.ollama_api import OllamaClient
from tasks.plan import Prepared, prepare
from tasks.progress import PagesStart, RunStarted, Stage, heard_by, tell
from tasks.read_page import PageReader
from tasks.render import Renderer
from tasks.settings import Settings, load_settings
from tasks.slots import Slots
from tasks.warm import Warmth, warm
from tasks.work_loop import WorkLoop

# Page tasks under way beside those in a slot: rendered and waiting, or being recorded.
_AHEAD = 4
_RETRY_SECONDS = 0.5


@task(name="warm-up", task_run_name="warm up {prepared.plan.model}", cache_policy=NO_CACHE, persist_result=False)
async def warm_up(prepared: Prepared, endpoint: Endpoint, settings: Settings) -> Warmth:
    """Get the plan's model warm on a server; see `tasks.warm`."""
    async with OllamaClient(endpoint.url, timeout=settings.warm.load_seconds, headers=endpoint.headers) as client:
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


def _run_name() -> str:
    job = Job.model_validate(flow_run.parameters["job"])
    return f"{Path(job.document).stem}, {'pages ' + job.pages if job.pages else 'all pages'}"


@flow(name="process-document", flow_run_name=_run_name, persist_result=False)
async def process_document(job: Job) -> State[Manifest]:
    """Read one PDF: start or reuse a server, warm it, read the pages over its slots, store them, release it.

    Args:
        job: what to read, and how; what is left empty is taken from the worker's settings.

    Returns:
        Completed, named Partial if some pages failed, or Failed if all did; with the manifest.

    Raises:
        HearthError: the request is wrong, or the run could not go on; see `tasks.errors`.
    """
    with heard_by(log_to_run):
        if flow_run.ui_url:
            tell(RunStarted(flow_run.ui_url))
        settings = load_settings()
        prepared = await prepare(job, settings)
        prepared.store.prepare()
        async with prepared.store.turn():
            account = Account(prepared, flow_run_id=flow_run.id)
            try:
                if not prepared.nothing_left():
                    await _read(prepared, settings, account)
            finally:
                manifest = account.close()
            if manifest is not None:
                await show_summary(manifest, prepared.store)
    return _final_state(manifest)


async def _read(prepared: Prepared, settings: Settings, account: Account) -> None:
    """Acquire, warm, read what is left, release."""
    plan, store = prepared.plan, prepared.store
    tell(Stage(f"reading with {prepared.choice.backend.describe()}: {prepared.choice.why}"))
    options = plan.options
    async with (
        WorkLoop() as work,
        # The first page can be rendered while the machine is still getting warm.
        work.opened(
            Renderer(plan.document.path, options.longest_side, settings.limits, password_from(plan.password_env))
        ) as renderer,
        _acquired(prepared.choice.backend, plan.slots) as endpoint,
        work.opened(
            OllamaClient(endpoint.url, timeout=settings.read.timeout_seconds, headers=endpoint.headers)
        ) as client,
        ProgressArtifact(plan.document.name) as artifact,
    ):
        warmth = await warm_up(prepared, endpoint, settings)
        account.warmed(endpoint, warmth)
        left = plan.numbers if plan.force else store.missing(plan, warmth.digest)
        reader = PageReader(
            plan,
            warmth.digest,
            prepared.request(settings.idle_minutes * 60),
            client=client,
            slots=Slots(warmth.slots),
            renderer=renderer,
            store=store,
            settings=settings.read,
        )
        with heard_by(artifact), heard_by(account.hear):
            tell(PagesStart(len(plan.numbers), len(plan.numbers) - len(left), warmth.slots))
            account.pages_start()
            try:
                await _read_pages(work, reader, left, warmth.slots + _AHEAD)
            finally:
                account.pages_end()


@asynccontextmanager
async def _acquired(backend: Backend, slots: int) -> AsyncIterator[Endpoint]:
    endpoint = await backend.acquire(slots)
    tell(Stage(f"{'started' if endpoint.started else 'reusing'} the server at {endpoint.url}"))
    try:
        yield endpoint
    finally:
        tell(Stage(f"the server {await backend.release(endpoint)}"))


async def _read_pages(work: WorkLoop, reader: PageReader, numbers: Iterable[int], workers: int) -> None:
    """Map the page task over the numbers, `workers` of them under way at once. A failed page leaves the others be."""
    todo = iter(numbers)
    read = read_page.with_options(retries=reader.attempts - 1)

    async def worker() -> None:
        for number in todo:
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


def _final_state(manifest: Manifest | None) -> State[Manifest]:
    assert manifest is not None  # noqa: S101 - the digest is known once pages were read, or none was left
    failed = len(manifest.failed)
    told = f"{manifest.count(PageStatus.READ)} pages read, {manifest.count(PageStatus.BLANK)} blank, {failed} failed"
    if failed and failed == len(manifest.pages):
        return Failed(message=told, data=manifest)
    if manifest.status is RunStatus.PARTIAL:
        return Completed(name="Partial", message=told, data=manifest)
    return Completed(message=told, data=manifest)
