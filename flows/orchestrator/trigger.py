"""Have the deployment `process-document/on-demand` read a document, once however often it is asked to.

The key of a run is made of the document's bytes, the options as they were given, and a generation: 0, and one more
for each run before it that did not read everything. The same request so finds the run that there is, and a run
that failed or was cancelled is followed by another.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound

from infra_scripts.trigger.handler import generation_key, run_key
from tasks.core.errors import UnavailableError
from tasks.core.jobs import Job

DEPLOYMENT = "process-document/on-demand"
_OWNER = "hearth.owner"
_REQUEST = "hearth.request"
_GENERATIONS = 100
"""That others may have made since a request's first one."""


def request_key(job: Job, content: str) -> str:
    """What requests that ask for the same have in common.

    Args:
        job: its `document` and `output` are left out: where things are is not what is asked for.
        content: tells the document's bytes from any others, such as their sha256.

    Returns:
        64 hex digits.
    """
    return run_key(content, job.model_dump(mode="json", exclude={"document", "output"}))


@dataclass(frozen=True)
class Asked:
    """Who asks for a run, and how often it was asked before.

    Attributes:
        key: what requests for the same have in common; see `request_key`.
        owner: of several that share a Prefect server and know nothing of each other's runs.
        request: the owner's own name for the request, which becomes one run however often it is submitted.
        first: the generation to begin with, of those before which none is left to be found.
    """

    key: str
    owner: str | None = None
    request: str | None = None
    first: int = 0

    @property
    def labels(self) -> dict[str, str]:
        """What the run is marked with."""
        named = {_OWNER: self.owner, _REQUEST: self.request}
        return {name: value for name, value in named.items() if value}

    def made(self, run: FlowRun) -> bool:
        """Whether a run was made for this very request."""
        return self.request is not None and run.labels.get(_REQUEST) == self.request

    def owns(self, run: FlowRun, output: str | None) -> bool:
        """Whether a run is the owner's; one without a mark, of an earlier version, is where its results are."""
        if self.owner is None:
            return True
        owner = run.labels.get(_OWNER)
        return owner == self.owner if owner else run.parameters.get("job", {}).get("output") == output


def _always(run: FlowRun) -> bool:
    del run
    return True


async def trigger(
    client: PrefectClient,
    job: Job,
    content: str,
    deployment: str = DEPLOYMENT,
    asked: Asked | None = None,
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
        asked: who asks, and how often it was asked before.
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
    asked = asked or Asked(request_key(job, content))
    for generation in itertools.count(asked.first):
        output = f"{job.output}/{generation}" if job.force and job.output else job.output
        parameters = job.model_copy(update={"output": output}).model_dump(mode="json", exclude_none=True)
        # A name only with a key: without one, Prefect 3.8 may answer 503 for a run that it created.
        run = await client.create_flow_run_from_deployment(
            found.id,
            name=job.run_name,
            parameters={"job": parameters},
            idempotency_key=generation_key(asked.key, generation),
            labels={**asked.labels},
        )
        if asked.made(run):
            return run  # also if it has ended: one request is one run
        if asked.owns(run, output) and not begins_anew(run.state, forced=job.force) and (_goes_on(run) or stands(run)):
            return run
    raise AssertionError("there is always another generation")


async def made_of(client: PrefectClient, asked: Asked) -> list[FlowRun]:
    """Find the runs that were made for a request, if any were; none is made."""
    keys = [generation_key(asked.key, asked.first + more) for more in range(_GENERATIONS)]
    found = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=keys))
    )
    return [run for run in found if asked.made(run)]


def _goes_on(run: FlowRun) -> bool:
    return run.state is None or not run.state.is_final()


def generation_of(run: FlowRun) -> int:
    """The generation of a run that `trigger` made."""
    return int((run.idempotency_key or "").rpartition("-")[2] or 0)


def begins_anew(state: State[Any] | None, *, forced: bool) -> bool:
    """Whether the same request makes another run, because this one is over and there is more to do."""
    if state is None or not state.is_final():
        return False
    # Those that left pages, or could not read some, are completed under other names.
    return forced or state.type is not StateType.COMPLETED or state.name != "Completed"
