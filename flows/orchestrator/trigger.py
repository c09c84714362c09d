"""Have the deployment `process-document/on-demand` read a document, once however often it is asked to.

The key of a run is made of the document's bytes, the options as they were given, and a generation: 0, and one more
for each run before it that did not read everything. The same request so finds the run that there is, and a run
that failed or was cancelled is followed by another.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound

from infra_scripts.trigger.handler import generation_key, run_key
from tasks.core.errors import UnavailableError
from tasks.core.jobs import Job

DEPLOYMENT = "process-document/on-demand"


def request_key(job: Job, content: str) -> str:
    """What requests that ask for the same have in common.

    Args:
        job: its `document` and `output` are left out: where things are is not what is asked for.
        content: tells the document's bytes from any others, such as their sha256.

    Returns:
        64 hex digits.
    """
    return run_key(content, job.model_dump(mode="json", exclude={"document", "output"}))


def _always(run: FlowRun) -> bool:
    del run
    return True


async def trigger(
    client: PrefectClient,
    job: Job,
    content: str,
    deployment: str = DEPLOYMENT,
    *,
    stands: Callable[[FlowRun], bool] = _always,
) -> FlowRun:
    """Have a document read.

    It may be called again after any failure: what was created is found by its key.

    Args:
        client: of Prefect's API.
        job: what to read; a forced one reads into a directory of its own within `output`, so that what was read
            before is not taken for its pages.
        content: see `request_key`.
        deployment: the one to run.
        stands: tells whether the results of a run that has ended are still there; if not, another run follows.

    Returns:
        The run: a new one, or the one that the same request made before.

    Raises:
        UnavailableError: the deployment does not exist.
    """
    try:
        found = await client.read_deployment_by_name(deployment)
    except ObjectNotFound:
        raise UnavailableError(
            f"Prefect has no deployment {deployment}. Make it: prefect --no-prompt deploy --all."
        ) from None
    key = request_key(job, content)
    for generation in itertools.count():
        asked = job
        if job.force and job.output:
            asked = job.model_copy(update={"output": f"{job.output}/{generation}"})
        # A name only with a key: without one, Prefect 3.8 may answer 503 for a run that it created.
        run = await client.create_flow_run_from_deployment(
            found.id,
            name=job.run_name,
            parameters={"job": asked.model_dump(mode="json", exclude_none=True)},
            idempotency_key=generation_key(key, generation),
        )
        if run.state is None or not run.state.is_final() or (_is_done(run.state, forced=job.force) and stands(run)):
            return run
    raise AssertionError("there is always another generation")


def _is_done(state: State[Any], *, forced: bool) -> bool:
    """Whether a run that is over leaves the same request nothing to do."""
    # Those that left pages, or could not read some, are completed under other names.
    return not forced and state.type is StateType.COMPLETED and state.name == "Completed"
