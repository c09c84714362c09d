"""How runs end in Prefect: the state's name, a sentence that says where the results are, and the result itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from tasks.core.errors import AllFailedError, HearthError
from tasks.core.jobs import Plan
from tasks.results.batch_result import BatchResult
from tasks.results.document_result import DocumentResult
from tasks.results.manifest import Manifest, RunStatus
from tasks.results.page import PageStatus
from tasks.results.report import DocumentStatus


@dataclass(frozen=True)
class Ended:
    """A document as far as a run has read it; without a manifest nothing of it was stored."""

    plan: Plan
    manifest: Manifest | None


def document_state(ended: Ended) -> State[DocumentResult]:
    """The final state of a document's own run, with its result."""
    result = DocumentResult.of(ended.plan, ended.manifest)
    where = result.document_path or result.output
    return _named(ended.manifest, f" Results: {where}", result)


def task_state(ended: Ended) -> State[Manifest]:
    """The final state of a batch's task for a document, with its manifest."""
    return _named(ended.manifest, "", ended.manifest)


def _named(manifest: Manifest | None, where: str, result: Any) -> State[Any]:  # noqa: ANN401 - either of the two
    if manifest is None:
        told = f"no page was begun: they are left for the next run.{where}"
        return Completed(name="Stopped", message=told, data=result)
    failed = len(manifest.failed)
    told = f"{manifest.count(PageStatus.READ)} pages read, {manifest.count(PageStatus.BLANK)} blank, {failed} failed"
    if failed and failed == len(manifest.pages):
        return _all_failed(f"{told}.{where}", result)
    if manifest.status is RunStatus.STOPPED:
        told = f"{told}; the others are left for the next run.{where}"
        return Completed(name="Stopped", message=told, data=result)
    if manifest.changed:
        told += "; the document was changed while it was read"
    partial = manifest.changed or manifest.status is RunStatus.PARTIAL
    return Completed(name="Partial" if partial else None, message=f"{told}.{where}", data=result)


def batch_state(result: BatchResult) -> State[BatchResult]:
    """The final state of a batch's run, with its result."""
    told = "; ".join(f"{name} {value}" for name, value in result.totals().items())
    told = f"{told}. Report: {result.report_path}"
    failed = result.count(DocumentStatus.FAILED)
    if failed and failed == len(result.rows):
        return _all_failed(told, result)
    if result.count(DocumentStatus.LEFT):
        return Completed(name="Stopped", message=told, data=result)
    partial = failed or result.count(DocumentStatus.PARTIAL)
    return Completed(name="Partial" if partial else None, message=told, data=result)


def _all_failed(told: str, result: object) -> State[Any]:
    error = AllFailedError(told)
    error.result = result
    return Failed(message=told, data=error)


def failed_state(error: HearthError) -> State[Any]:
    """The final state of a run that an error ended which says all: Prefect would log a traceback of what is raised."""
    get_run_logger().error(str(error))
    return Failed(message=str(error), data=error)
