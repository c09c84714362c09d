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
from tasks.core.errors import ServerError, UnavailableError
from tasks.core.events import Event, Progress, RunWarning, emit, subscribe
from tasks.core.jobs import Job
from tasks.reading.events import Outcome, RunEnded
from tasks.results.manifest import Manifest
from tasks.results.report import Report
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
    """Run `process_batch`; see `_run_flow`."""
    return cast("Report", await _run_flow(cast("AnyFlow", process_batch), batch, settings))


async def _run_flow(flow: AnyFlow, request: Job | Batch, settings: Settings) -> Manifest | Report:
    """Run a flow over the Prefect server that is configured, or a local one.

    Returns:
        The run's account.

    Raises:
        HearthError: what the run raised, or that Prefect's server went away before the document was done.
    """
    ended: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    termination = Termination()

    def hear(event: Event) -> None:
        termination.catch()
        if isinstance(event, RunEnded) and not ended.done():
            ended.set_result(event.outcome)

    try:
        with subscribe(hear):
            async with prefect_api(settings) as api:
                emit(Progress("starting the run"))
                outcome = await _outcome(asyncio.ensure_future(_run(flow, request)), ended, api)
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


async def _run(flow: AnyFlow, request: Job | Batch) -> Manifest | Report | BaseException:
    # Prefect's types do not know that an async flow's state is awaited, too.
    state: State[Manifest | Report] = await cast("Any", flow)(request, return_state=True)
    outcome: Manifest | Report | BaseException = await state.aresult(raise_on_failure=False)
    return outcome


async def _outcome(
    run: asyncio.Future[Manifest | Report | BaseException], ended: asyncio.Future[Outcome], api: PrefectApi
) -> Manifest | Report | BaseException:
    try:
        both: set[asyncio.Future[Any]] = {run, ended}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        latest = time.monotonic() + _NOTED_SECONDS
        while not run.done() and time.monotonic() < latest:
            await asyncio.wait({run}, timeout=_LOOK_SECONDS)
            if not (run.done() or api.returns or await _prefect_answers()):
                break
    except asyncio.CancelledError:
        run.cancel()
        await asyncio.wait({run})
        raise
    if run.done() and not (ended.done() and isinstance(run.exception(), _AWAY)):
        return run.result()
    emit(
        RunWarning(
            "Prefect's server does not answer: there, this run may be shown as still running until the server is back "
            "and Hearth uses it again."
        )
    )
    return ended.result()


async def _prefect_answers() -> bool:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS), get_client() as client:
            return await client.api_healthcheck() is None
    except TimeoutError:
        return False
