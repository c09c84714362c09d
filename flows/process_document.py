"""The main job: one PDF, end to end.

Job -> Backend.acquire -> Endpoint -> warm -> Slots -> pages -> PageResult -> store -> release -> idle shutdown.
"""

# No postponed annotations here: a served flow is pickled, and would lose sight of `Job`.

from contextlib import closing
from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.exceptions import Pause
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.engine.document import read_document
from flows.orchestrator.blocks import password_of, resolved
from flows.orchestrator.pausing import until_paused
from flows.orchestrator.run_events import ProgressEvents, tell_left
from flows.orchestrator.termination import ended_by_sigterm
from flows.ui.artifacts import log_to_run
from flows.ui.live_artifacts import Live
from tasks.core.errors import HearthError
from tasks.core.events import RunStarted, emit, subscribe
from tasks.core.jobs import Job
from tasks.core.visible import log_visibly, visible_line
from tasks.documents.shared_processes import shared_processes
from tasks.reading.events import RunEnded
from tasks.results.manifest import Manifest, RunStatus
from tasks.results.page import PageStatus
from tasks.runs.prepare import Prepared, prepare
from tasks.runs.run_recorder import RunRecorder
from tasks.settings.settings import Settings, load_settings


def _run_name() -> str:
    job = Job.model_validate(flow_run.parameters["job"])
    return f"{visible_line(Path(job.document).stem)}, {'pages ' + job.pages if job.pages else 'all pages'}"


@flow(name="process-document", flow_run_name=_run_name, persist_result=False)
async def process_document(job: Job) -> State[Manifest]:
    """Read one PDF: start or reuse a server, warm it, read the pages over its slots, store them, release it.

    Args:
        job: what to read, and how; what is left empty is taken from the worker's settings.

    Returns:
        Completed, named Partial if some pages failed, or Failed if all did; with the manifest.

    Raises:
        HearthError: the request is wrong, or the run could not go on; see `tasks.core.errors`.
    """
    with ended_by_sigterm(), subscribe(ProgressEvents()):
        try:
            return await process(job)
        except Pause:
            tell_left()
            raise


async def process(job: Job, *, in_batch: bool = False) -> State[Manifest]:
    """What `process_document` does, within whatever run there is; in a batch's, servers are not the document's own.

    Raises:
        HearthError: see there.
        Pause: the run was paused.
    """
    log_visibly()
    with subscribe(log_to_run):
        if flow_run.ui_url:
            emit(RunStarted(flow_run.ui_url))
        try:
            async with shared_processes():
                manifest = await until_paused(_process(job, in_batch=in_batch))
        except HearthError as error:
            emit(RunEnded(error))
            raise
    return _final_state(manifest)


async def _process(job: Job, *, in_batch: bool) -> Manifest | None:
    settings = load_settings()
    job = await resolved(job)
    prepared = await prepare(job, settings, await password_of(job))
    with closing(prepared.file):
        prepared.store.prepare()
        live = Live(prepared.plan.document.name, settings, has_servers=not in_batch)
        async with prepared.turn(), live:
            manifest = await _read(prepared, settings, live)
            if manifest is not None:
                emit(RunEnded(manifest))
    return manifest


async def _read(prepared: Prepared, settings: Settings, live: Live) -> Manifest | None:
    account = RunRecorder(prepared, flow_run_id=flow_run.id, idle_seconds=settings.idle_minutes * 60)
    try:
        if not prepared.nothing_left():
            with subscribe(live):
                await read_document(prepared, settings, account)
    finally:
        manifest = account.close()
        if manifest is not None:
            await live.ended(manifest, prepared.store)
    return manifest


def _final_state(manifest: Manifest | None) -> State[Manifest]:
    if manifest is None:
        return Completed(name="Stopped", message="no page was begun: they are left for the next run")
    failed = len(manifest.failed)
    told = f"{manifest.count(PageStatus.READ)} pages read, {manifest.count(PageStatus.BLANK)} blank, {failed} failed"
    if failed and failed == len(manifest.pages):
        return Failed(message=told, data=manifest)
    if manifest.status is RunStatus.STOPPED:
        return Completed(name="Stopped", message=f"{told}; the others are left for the next run", data=manifest)
    if manifest.changed:
        told += "; the document was changed while it was read"
    if manifest.changed or manifest.status is RunStatus.PARTIAL:
        return Completed(name="Partial", message=told, data=manifest)
    return Completed(message=told, data=manifest)
