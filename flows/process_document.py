"""The main job: one PDF, end to end.

Job -> Backend.acquire -> Allocation -> warm -> Slots -> pages -> PageResult -> store -> release -> idle shutdown.
"""

# No postponed annotations here: a served flow is pickled, and would lose the type of `Job`.

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from flows.engine.document import read_document
from flows.engine.outcomes import document_state, final_state
from flows.orchestrator.ephemeral import secure_ephemeral_server
from flows.orchestrator.late_ends import on_recorded
from flows.orchestrator.pausing import run_began, until_paused
from flows.orchestrator.result_json import RESULT_JSON
from tasks.core.jobs import Job
from tasks.results.document_result import DocumentResult
from tasks.runs.prepare import Prepared

secure_ephemeral_server()  # before a script can call the flow


def _run_name() -> str:
    return Job.model_validate(flow_run.parameters["job"]).run_name


@flow(
    name="process-document",
    flow_run_name=_run_name,
    persist_result=True,
    result_serializer=RESULT_JSON,
    on_completion=[on_recorded],
    on_failure=[on_recorded],
)
async def process_document(job: Job) -> State[DocumentResult]:
    """Read one PDF: start or reuse a server, warm it, read the pages over its slots, store them, release it.

    Args:
        job: What to read, and how. What is left empty is taken from the worker's settings.

    Returns:
        Completed, named Partial if some pages failed, or Stopped if some are left; with the result. A caller that
        awaits the flow gets the result itself, a `DocumentResult`.

    Raises:
        HearthError: the request is wrong, the run could not go on, or every page failed; see `tasks.core.errors`.
            The run's state is Failed, with the same sentence.
    """
    return await read_in_run(job)


async def read_in_run(job: Job, prepared: Prepared | None = None) -> State[DocumentResult]:
    """Read a document within a run of Prefect's, and return its final state; see `process_document`."""
    return await final_state(until_paused(read_document(job, run_began(), document_state, prepared=prepared)))
