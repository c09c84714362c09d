"""Final states of runs: a name, a sentence that says where the results are, and the result itself."""

from collections.abc import Awaitable
from typing import Any, TypeVar

from prefect.client.schemas.objects import State
from prefect.exceptions import Pause
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.orchestrator.late_ends import delete_end, store_end
from flows.orchestrator.run_events import ProgressEvents, emit_left
from flows.orchestrator.termination import cancel_if_interrupted, cancel_on_sigterm
from flows.ui.artifacts import log_to_run
from tasks.core.errors import AllFailedError, HearthError
from tasks.core.escaping import escape_logs
from tasks.core.events import RunStarted, emit, subscribe
from tasks.core.jobs import Plan
from tasks.documents.shared_processes import shared_processes
from tasks.reading.events import RunEnded
from tasks.results.batch_result import BatchResult
from tasks.results.document_result import DocumentResult
from tasks.results.manifest import Manifest, RunStatus
from tasks.results.page import PageStatus
from tasks.results.rows import DocumentStatus

T = TypeVar("T")


async def final_state(body: Awaitable[State[T]]) -> State[T]:
    """Run the body of a flow that reads, and return the state in which its run ends.

    A run that is interrupted ends as cancelled. Errors of Hearth's are logged as a sentence, without a traceback.

    Raises:
        Pause: the run was paused; Prefect resumes it.
    """
    escape_logs()
    delete_end(flow_run.id)  # of an earlier attempt
    with cancel_on_sigterm() as terminated, subscribe(log_to_run), subscribe(ProgressEvents()):
        async with cancel_if_interrupted(terminated):
            if flow_run.ui_url:
                emit(RunStarted(flow_run.ui_url))
            try:
                async with shared_processes():
                    return await body
            except HearthError as error:
                emit(RunEnded(error))
                get_run_logger().error(str(error))
                return store_end(Failed(message=str(error), data=error))
            except Pause:
                emit_left()
                raise


def document_state(plan: Plan, manifest: Manifest | None) -> State[DocumentResult]:
    """Return the final state of a document's own run, with its result; store it until Prefect has recorded it."""
    result = DocumentResult.of(plan, manifest)
    return store_end(_state_of(manifest, f" Results: {result.document_path or result.output}", result))


def task_state(_: Plan, manifest: Manifest | None) -> State[Manifest]:
    """Return the final state of a batch's task for a document, with its manifest."""
    return _state_of(manifest, "", manifest)


def _state_of(manifest: Manifest | None, where: str, result: Any) -> State[Any]:  # noqa: ANN401 - either of the two
    if manifest is None:
        message = f"no page was started: all are left for the next run.{where}"
        return Completed(name="Stopped", message=message, data=result)
    failed = len(manifest.failed)
    message = f"{manifest.count(PageStatus.READ)} pages read, {manifest.count(PageStatus.BLANK)} blank, {failed} failed"
    if failed and failed == len(manifest.pages):
        return _all_failed(f"{message}.{where}", result)
    if manifest.status is RunStatus.STOPPED:
        message += f"; the others are left for the next run.{where}"
        return Completed(name="Stopped", message=message, data=result)
    if manifest.changed:
        message += "; the document was changed while it was read"
    partial = manifest.changed or manifest.status is RunStatus.PARTIAL
    return Completed(name="Partial" if partial else None, message=f"{message}.{where}", data=result)


def batch_state(result: BatchResult) -> State[BatchResult]:
    """Return the final state of a batch's run, with its result."""
    message = "; ".join(f"{name} {value}" for name, value in result.totals().items())
    message += f". Report: {result.report_path}"
    failed = result.count(DocumentStatus.FAILED)
    if failed and failed == len(result.rows):
        return _all_failed(message, result)
    if result.count(DocumentStatus.LEFT):
        return Completed(name="Stopped", message=message, data=result)
    partial = failed or result.count(DocumentStatus.PARTIAL)
    return Completed(name="Partial" if partial else None, message=message, data=result)


def _all_failed(message: str, result: object) -> State[Any]:
    error = AllFailedError(message)
    error.result = result
    return Failed(message=message, data=error)
