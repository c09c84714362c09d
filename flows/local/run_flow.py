"""Run a flow in this process, and do not wait for ever for a Prefect server that has gone."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Any, cast

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import Pause, PrefectHTTPStatusError, TerminationSignal

from flows.local.prefect_server import PrefectApi, prefect_api
from flows.orchestrator.termination import Termination
from flows.process_batch import process_batch
from flows.process_document import process_document
from tasks.batches.batch import Batch
from tasks.core.errors import AllFailedError, ServerError, UnavailableError
from tasks.core.events import Event, Progress, RunWarning, emit, subscribe
from tasks.core.jobs import Job
from tasks.reading.events import Outcome, RunEnded
from tasks.results.manifest import Manifest
from tasks.results.report import Report
from tasks.runs.check_batch import check_batch
from tasks.settings.settings import Settings

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import State

    AnyFlow = Flow[..., Any]

# How long Prefect may take to note how a run ended: longer than a request waits for its locked database, which is a
# minute. A server that does not even answer that it is there is not waited for, though its client goes on trying.
_NOTED_SECONDS = 180.0
_LOOK_SECONDS = 10.0
_AWAY = (httpx.HTTPError, PrefectHTTPStatusError)
_ANSWER_SECONDS = 20.0


async def run_document(job: Job, settings: Settings) -> Manifest | None:
    """Run `process_document`; see `_run_flow`. None if no page was begun, because the budget was spent."""
    return cast("Manifest | None", await _run_flow(cast("AnyFlow", process_document), job, settings))


async def run_batch(batch: Batch, settings: Settings) -> Report:
    """Run `process_batch`; see `_run_flow`.

    Raises:
        InputError: the batch is wrong as a whole; no run was made.
    """
    await asyncio.to_thread(check_batch, batch, settings)
    return cast("Report", await _run_flow(cast("AnyFlow", process_batch), batch, settings))


async def _run_flow(flow: AnyFlow, request: Job | Batch, settings: Settings) -> Outcome | None:
    """Run a flow over the Prefect server that is configured, or a local one.

    Returns:
        The run's account.

    Raises:
        HearthError: what the run raised, or that Prefect's server went away before the document was done.
    """
    marks = Marks()
    termination = Termination()

    def hear(event: Event) -> None:
        termination.catch()
        marks.hear(event)

    try:
        async with prefect_api(settings) as api:
            emit(Progress("starting the run"))
            with subscribe(hear):
                outcome = await _outcome(asyncio.ensure_future(_run(flow, request)), marks, api)
    except _AWAY as error:
        raise ServerError(
            f"Prefect's server went away during the run ({type(error).__name__}). "
            "The pages stored so far stand: run again when it is back."
        ) from None
    except asyncio.CancelledError:
        if termination.came:
            raise TerminationSignal(signal.SIGTERM) from None
        raise
    except Pause:
        raise UnavailableError(
            "The run was paused in Prefect, which can resume only what a worker runs. "
            "The pages stored so far stand: run again to go on."
        ) from None
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


class Marks:
    """How far a run is, by its events.

    Attributes:
        begun: done when it has begun, so that Prefect takes it for running.
        ended: its account, or why it could not go on.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[Outcome] = loop.create_future()

    def hear(self, event: Event) -> None:
        """Take note of an event of the run; its first and its last are told on its own loop."""
        if not self.begun.done():
            self.begun.set_result(None)
        if isinstance(event, RunEnded) and not self.ended.done():
            self.ended.set_result(event.outcome)


async def _run(flow: AnyFlow, request: Job | Batch) -> BaseException | None:
    """Run a flow, and return what it raised; its account is heard of."""
    # Prefect's types do not know that an async flow's state is awaited, too.
    state: State[Any] = await cast("Any", flow)(request, return_state=True)
    outcome = await state.aresult(raise_on_failure=False)
    return outcome if isinstance(outcome, BaseException) and not isinstance(outcome, AllFailedError) else None


async def _outcome(
    run: asyncio.Future[BaseException | None], marks: Marks, api: PrefectApi
) -> Outcome | BaseException | None:
    ended = marks.ended
    try:
        both: set[asyncio.Future[Any]] = {run, ended}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        latest = time.monotonic() + _NOTED_SECONDS
        while not run.done() and time.monotonic() < latest:
            await asyncio.wait({run}, timeout=_LOOK_SECONDS)
            if not (run.done() or api.returns or await _prefect_answers()):
                break
    except asyncio.CancelledError:
        await _interrupt(run, marks)
        raise
    if not run.done() or (ended.done() and isinstance(run.exception(), _AWAY)):
        emit(
            RunWarning(
                "Prefect's server does not answer: there, this run may be shown as still running until the server is "
                "back and Hearth uses it again."
            )
        )
        return ended.result()
    return run.result() or (ended.result() if ended.done() else None)


async def _interrupt(run: asyncio.Future[Any], marks: Marks) -> None:
    """Cancel a run where it can say so to Prefect; while it begins, or ends, Prefect would take it for crashed."""
    waiting: set[asyncio.Future[Any]] = {run} if marks.ended.done() else {run, marks.begun}
    await asyncio.wait(waiting, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    run.cancel()
    await asyncio.wait({run})


async def _prefect_answers() -> bool:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS), get_client() as client:
            return await client.api_healthcheck() is None
    except TimeoutError:
        return False
