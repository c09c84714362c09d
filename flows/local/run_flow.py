"""Run a flow in this process, without waiting for ever for a Prefect server that is gone."""

from __future__ import annotations

import asyncio
import signal
import time
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import Pause, PrefectHTTPStatusError, TerminationSignal

from flows.local.prefect_server import PrefectApi, prefect_api
from flows.orchestrator.termination import Termination
from flows.process_batch import process_batch
from flows.process_document import process_document, read_in_run
from tasks.batches.batch import Batch
from tasks.core.errors import AllFailedError, ServerError, UnavailableError
from tasks.core.events import Event, Progress, RunWarning, emit, subscribe
from tasks.core.jobs import Job
from tasks.reading.events import Outcome, RunEnded
from tasks.results.manifest import Manifest
from tasks.results.report import Report
from tasks.runs.check_batch import check_batch
from tasks.runs.prepare import Prepared
from tasks.settings.settings import Settings

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import State

    AnyFlow = Flow[..., Any]

RECORDED_SECONDS = 180.0
"""Time for Prefect to record a run's end: longer than the minute for which a request waits for its locked database.

A server that fails its health check is not waited for, although its client goes on retrying.
"""
POLL_SECONDS = 10.0
_UNREACHABLE = (httpx.HTTPError, PrefectHTTPStatusError)
_RESPONSE_SECONDS = 20.0


async def run_document(job: Job, prepared: Prepared, settings: Settings) -> Manifest | None:
    """Run `process_document` on a prepared job, and return its manifest; None if the budget left no page to begin."""

    @wraps(process_document.fn)  # Prefect needs its name and its signature
    async def read(job: Job) -> Any:  # noqa: ANN401 - the state of a run
        return await read_in_run(job, prepared)

    flow = light_copy(process_document)
    flow.fn = read
    return cast("Manifest | None", await _run_flow(flow, job, settings))


async def run_batch(batch: Batch, settings: Settings) -> Report:
    """Run `process_batch` and return its report; raise InputError, without a run, if the batch as a whole is wrong."""
    await asyncio.to_thread(check_batch, batch, settings)
    return cast("Report", await _run_flow(light_copy(process_batch), batch, settings))


def light_copy(flow: object) -> AnyFlow:
    """Return a copy of a flow that encodes its parameters with pydantic alone, to the same JSON.

    Prefect encodes them with FastAPI, whose import takes 0.2 s of processor time (measured).
    """
    copy = cast("AnyFlow", flow).with_options()
    copy.serialize_parameters = _encode  # type: ignore[method-assign]  # of this copy alone
    return copy


def _encode(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value.model_dump(mode="json", by_alias=True) for name, value in parameters.items()}


async def _run_flow(flow: AnyFlow, request: Job | Batch, settings: Settings) -> Outcome | None:
    """Run a flow with the configured Prefect server or a local one, and return its outcome.

    Raises:
        HearthError: the run raised it, or Prefect's server went away before the run was done.
    """
    marks = RunMarks()
    termination = Termination()

    try:
        async with prefect_api(settings) as api:
            emit(Progress("starting the run"))
            with subscribe(lambda _: termination.catch()), subscribe(marks.observe):
                outcome = await wait_for_outcome(asyncio.ensure_future(_run(flow, request)), marks, api)
    except _UNREACHABLE as error:
        raise ServerError(
            f"Prefect's server went away during the run ({type(error).__name__}). "
            "The pages stored so far are kept: run again when it is back."
        ) from None
    except asyncio.CancelledError:
        if termination.arrived:
            raise TerminationSignal(signal.SIGTERM) from None
        raise
    except Pause:
        raise UnavailableError(
            "The run was paused in Prefect, which can only resume runs of a worker. "
            "The pages stored so far are kept: run again to continue."
        ) from None
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


class RunMarks:
    """The progress of a run, derived from its events.

    Attributes:
        begun: done when Prefect considers the run running.
        ended: the run's outcome, or the error that ended it.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[Outcome] = loop.create_future()

    def observe(self, event: Event) -> None:
        """Record an event of the run. The first and the last are emitted on the run's own loop."""
        if not self.begun.done():
            self.begun.set_result(None)
        if isinstance(event, RunEnded) and not self.ended.done():
            self.ended.set_result(event.outcome)


async def _run(flow: AnyFlow, request: Job | Batch) -> BaseException | None:
    """Run a flow, and return the error that it raised; its outcome arrives as an event."""
    # Prefect's types do not know that an async flow's state is awaited, too.
    state: State[Any] = await cast("Any", flow)(request, return_state=True)
    outcome = await state.aresult(raise_on_failure=False)
    return outcome if isinstance(outcome, BaseException) and not isinstance(outcome, AllFailedError) else None


async def wait_for_outcome(
    run: asyncio.Future[BaseException | None], marks: RunMarks, api: PrefectApi
) -> Outcome | BaseException | None:
    """Wait until Prefect has recorded the run's end, or has stopped answering, and return the outcome."""
    ended = marks.ended
    try:
        both: set[asyncio.Future[Any]] = {run, ended}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        latest = time.monotonic() + RECORDED_SECONDS
        while not run.done() and time.monotonic() < latest:
            await asyncio.wait({run}, timeout=POLL_SECONDS)
            restarting = api.own is not None and not api.lost.is_set()
            if not (run.done() or restarting or await prefect_answers()):
                break
    except asyncio.CancelledError:
        await _interrupt(run, marks)
        raise
    if not run.done() or (ended.done() and isinstance(run.exception(), _UNREACHABLE)):
        emit(
            RunWarning(
                "Prefect's server does not answer. It may show this run as still running until the server is back and "
                "Hearth uses it again."
            )
        )
        return ended.result()
    return run.result() or (ended.result() if ended.done() else None)


async def _interrupt(run: asyncio.Future[Any], marks: RunMarks) -> None:
    """Cancel a run when Prefect can record it; while the run begins or ends, Prefect would record a crash."""
    waiting: set[asyncio.Future[Any]] = {run} if marks.ended.done() else {run, marks.begun}
    await asyncio.wait(waiting, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    run.cancel()
    await asyncio.wait({run})


async def prefect_answers() -> bool:
    """Return whether Prefect's server passes its health check in time."""
    try:
        async with asyncio.timeout(_RESPONSE_SECONDS), get_client() as client:
            return await client.api_healthcheck() is None
    except TimeoutError:
        return False
