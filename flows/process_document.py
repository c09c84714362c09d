"""The main job: one PDF, end to end.

Job -> Backend.acquire -> Allocation -> warm -> Slots -> pages -> PageResult -> store -> release -> idle shutdown.
"""

# No postponed annotations here: a served flow is pickled, and would lose sight of `Job`.

from collections.abc import Callable
from contextlib import closing
from datetime import datetime

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.exceptions import Pause
from prefect.runtime import flow_run

from flows.engine.document import read_document
from flows.engine.outcomes import Ended, document_state, failed_state
from flows.orchestrator.blocks import password_of, resolved
from flows.orchestrator.ephemeral import secure_ephemeral_server
from flows.orchestrator.interruption import cancelled_if_interrupted
from flows.orchestrator.late_ends import end_written_down, forget_end
from flows.orchestrator.pausing import run_began, until_paused
from flows.orchestrator.result_json import RESULT_JSON
from flows.orchestrator.run_events import ProgressEvents, tell_left
from flows.orchestrator.termination import ended_by_sigterm
from flows.ui.artifacts import log_to_run
from flows.ui.live_artifacts import Live
from tasks.core.errors import HearthError
from tasks.core.escaping import escape_logs
from tasks.core.events import RunStarted, emit, subscribe
from tasks.core.jobs import Job
from tasks.documents.shared_processes import shared_processes
from tasks.reading.events import RunEnded
from tasks.results.document_result import DocumentResult
from tasks.results.manifest import Manifest
from tasks.runs.prepare import Prepared, prepare
from tasks.runs.run_recorder import RunRecorder
from tasks.settings.settings import Settings, load_settings

secure_ephemeral_server()  # before a script can call the flow


def _run_name() -> str:
    return Job.model_validate(flow_run.parameters["job"]).run_name


@flow(
    name="process-document",
    flow_run_name=_run_name,
    persist_result=True,
    result_serializer=RESULT_JSON,
    on_completion=[forget_end],
    on_failure=[forget_end],
)
async def process_document(job: Job) -> State[DocumentResult]:
    """Read one PDF: start or reuse a server, warm it, read the pages over its slots, store them, release it.

    Args:
        job: What to read, and how. What is left empty is taken from the worker's settings.

    Returns:
        Completed, named Partial if some pages failed, or Stopped if some are left; with the result. Whoever awaits
        the call gets the result itself, a `DocumentResult`.

    Raises:
        HearthError: the request is wrong, the run could not go on, or every page failed; see `tasks.core.errors`.
            The run's state is Failed, with the same sentence.
    """
    with ended_by_sigterm() as terminated, end_written_down() as written_down, subscribe(ProgressEvents()):
        async with cancelled_if_interrupted(terminated):
            try:
                ended = await process(job, run_began(), known=lambda ended: written_down(document_state(ended)))
                return document_state(ended)
            except HearthError as error:
                return written_down(failed_state(error))
            except Pause:
                tell_left()
                raise


async def process(
    job: Job, began: datetime, *, in_batch: bool = False, known: Callable[[Ended], object] | None = None
) -> Ended:
    """Do what `process_document` does, within whatever run there is; in a batch's, servers are not the document's own.

    Args:
        job: see there.
        began: when the run did; what it reads anew it does once since then.
        in_batch: whether the run is a batch's.
        known: called when it is known how the document ended, before Prefect is shown the last of it.

    Raises:
        HearthError: see there.
        Pause: the run was paused.
    """
    escape_logs()
    with subscribe(log_to_run):
        if flow_run.ui_url:
            emit(RunStarted(flow_run.ui_url))
        try:
            async with shared_processes():
                return await until_paused(_process(job, began, in_batch, known))
        except HearthError as error:
            emit(RunEnded(error))
            raise


async def _process(job: Job, began: datetime, in_batch: bool, known: Callable[[Ended], object] | None) -> Ended:  # noqa: FBT001
    settings = load_settings()
    job = await resolved(job)
    prepared = await prepare(job, settings, await password_of(job), began=began)
    with closing(prepared.file):
        prepared.store.prepare()
        live = Live(prepared.plan.document.name, settings, has_servers=not in_batch)
        async with prepared.turn(), live:
            ended = Ended(prepared.plan, await _read(prepared, settings, live))
            if known is not None:
                known(ended)
            if ended.manifest is not None:
                emit(RunEnded(ended.manifest))
    return ended


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
