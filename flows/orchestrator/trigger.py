"""Have the deployment `process-document/on-demand` read a document, once however often it is requested.

The key of a run consists of the document's bytes, the options of the request, and a generation: the number of earlier
runs that did not read everything. So an equal request finds the existing run, and a new run follows one that failed or
was cancelled.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound

from infra_scripts.trigger.handler import generation_key, run_key
from tasks.core.errors import UnavailableError
from tasks.core.jobs import Job

DEPLOYMENT = "process-document/on-demand"
_OWNER = "hearth.owner"
_REQUEST = "hearth.request"
_GENERATIONS = 100
"""Most generations that other requests may have created since a request's first one."""


def request_key(job: Job, content: str) -> str:
    """Return a key of 64 hex digits that requests share if they have equal options and documents.

    `content` identifies the document's bytes, such as their sha256; the job's `document` and `output` are ignored.
    """
    return run_key(content, job.model_dump(mode="json", exclude={"document", "output"}))


@dataclass(frozen=True)
class RunRequest:
    """A request for a run.

    Attributes:
        key: shared by equal requests; see `request_key`.
        owner: one of several that share a Prefect server and do not see each other's runs.
        request: the owner's name for the request, which becomes one run however often it is submitted.
        first: the first generation to consider.
    """

    key: str
    owner: str | None = None
    request: str | None = None
    first: int = 0

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the run."""
        named = {_OWNER: self.owner, _REQUEST: self.request}
        return {name: value for name, value in named.items() if value}

    def made(self, run: FlowRun) -> bool:
        """Return whether a run was created for this very request."""
        return self.request is not None and run.labels.get(_REQUEST) == self.request

    def owns(self, run: FlowRun, output: str | None) -> bool:
        """Return whether a run is the owner's; one of an earlier version has no label, but the owner's output."""
        if self.owner is None:
            return True
        owner = run.labels.get(_OWNER)
        return owner == self.owner if owner else run.parameters.get("job", {}).get("output") == output


async def trigger(
    client: PrefectClient,
    job: Job,
    content: str,
    deployment: str = DEPLOYMENT,
    request: RunRequest | None = None,
    *,
    has_results: Callable[[FlowRun], bool] = lambda _: True,
) -> FlowRun:
    """Have a document read, and return the run: a new one, or that of an earlier equal request.

    It may be called again after any failure: a run that was created is found by its key.

    Args:
        client: Prefect's API.
        job: what to read; with `force`, its run reads into a directory of its own within `output`, so that it does not
            take pages which were read before for its own.
        content: see `request_key`.
        deployment: the deployment to run.
        request: how the run is found; None for a request without an owner.
        has_results: returns whether the results of a run that has ended still exist; if not, another run follows.

    Raises:
        UnavailableError: the deployment does not exist.
    """
    try:
        deployed = await client.read_deployment_by_name(deployment)
    except ObjectNotFound:
        raise UnavailableError(
            f"Prefect has no deployment {deployment}. Create it with prefect --no-prompt deploy --all."
        ) from None
    request = request or RunRequest(request_key(job, content))
    for generation in itertools.count(request.first):
        output = f"{job.output}/{generation}" if job.force and job.output else job.output
        parameters = job.model_copy(update={"output": output}).model_dump(mode="json", exclude_none=True)
        # Without a key, Prefect 3.8 may answer 503 for a named run that it has created.
        run = await client.create_flow_run_from_deployment(
            deployed.id,
            name=job.run_name,
            parameters={"job": parameters},
            idempotency_key=generation_key(request.key, generation),
            labels={**request.labels},
        )
        if request.made(run):
            return run  # even if it has ended: one request is one run
        ended = run.state is not None and run.state.is_final()
        if (
            request.owns(run, output)
            and not needs_another_run(run.state, forced=job.force)
            and (not ended or has_results(run))
        ):
            return run
    raise AssertionError("there is always another generation")


async def runs_of(client: PrefectClient, request: RunRequest) -> list[FlowRun]:
    """Return the existing runs of a request."""
    keys = [generation_key(request.key, request.first + more) for more in range(_GENERATIONS)]
    runs = await client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate({"idempotency_key": {"any_": keys}})
    )
    return [run for run in runs if request.made(run)]


def generation_of(run: FlowRun) -> int:
    """Return the generation of a run that `trigger` created."""
    return int((run.idempotency_key or "").rpartition("-")[2] or 0)


def needs_another_run(state: State[Any] | None, *, forced: bool) -> bool:
    """Return whether an equal request creates another run, because this one has ended and has not done everything."""
    if state is None or not state.is_final():
        return False
    # Runs that left pages unread have other names than Completed.
    return forced or state.type is not StateType.COMPLETED or state.name != "Completed"
