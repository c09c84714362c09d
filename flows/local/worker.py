"""A Prefect worker of the pool `hearth`, for the configured server or a local one.

`python -m flows.local.worker [DIRECTORY]` runs until it is stopped. It keeps the local server alive, and ends when that
cannot be restarted. Runs use its directory: .env is read there, and relative paths refer to it.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from flows.local.clean import clean
from flows.local.prefect_server import PrefectApi, prefect_api
from flows.orchestrator.stale_runs import crash_stale, drop_missed, free_leaked_slots
from tasks.backends.local.watchdog import die_with_parent
from tasks.core.aio import cancel_and_wait
from tasks.core.errors import HearthError
from tasks.settings.settings import Settings, load_settings

POOL = "hearth"
_LIMITED = ("process-document/on-demand", "process-batch/on-demand")
PATIENT = {"PREFECT_CLIENT_MAX_RETRIES": "12"}
"""Environment of a worker that tolerates a busy server: after the default of 5 retries it would crash the run."""
_PROMPT = {"PREFECT_WORKER_QUERY_SECONDS": "1"}
"""Environment of a worker that looks for runs each second, not every ten. Prefect's server sends it none."""
_POLL_SECONDS, _FIRST_CLEAN_SECONDS, _DAY_SECONDS = 60.0, 600.0, 86_400.0
_log = logging.getLogger(__name__)


async def main() -> int:
    """Run the worker, and return its exit code."""
    settings = load_settings()
    async with prefect_api(settings) as api:
        await _drop_missed_runs()
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "flows.local.process_worker", "--pool", POOL, "--with-healthcheck"),
            env={**PATIENT, **_PROMPT, **api.environment()},
            preexec_fn=_as_child,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _end, worker, api)
        working, lost = asyncio.create_task(worker.wait()), asyncio.create_task(api.lost.wait())
        background = [asyncio.create_task(_crash_stale_runs()), asyncio.create_task(_clean_daily(settings))]
        try:
            await asyncio.wait({working, lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(lost, *background)
        if not working.done():
            worker.terminate()
        return await working


def _end(worker: asyncio.subprocess.Process, api: PrefectApi) -> None:
    api.lost.set()  # if the server is being stopped as well, it must not be restarted
    with suppress(ProcessLookupError):
        worker.terminate()


async def _drop_missed_runs() -> None:
    """Cancel scheduled runs that were missed, before Prefect's worker starts them all at once."""
    with _retried_later():
        async with get_client() as client:
            await drop_missed(client, POOL)
            await free_leaked_slots(client, _LIMITED)


async def _crash_stale_runs() -> None:
    """Mark runs as crashed that an earlier worker claimed and never started."""
    while True:
        with _retried_later():
            async with get_client() as client:
                for run in await crash_stale(client, POOL):
                    _log.warning("The run %s was claimed by a worker that is gone, and has crashed.", run)
        await asyncio.sleep(_POLL_SECONDS)


async def _clean_daily(settings: Settings) -> None:
    """Delete what has expired, as `hearth clean` does, first when the machine has settled after the start."""
    await asyncio.sleep(_FIRST_CLEAN_SECONDS)
    while True:
        with _retried_later():
            for tally in await clean(settings, settings.output, dry_run=False):
                _log.warning("Deleted: %d %s.", tally.count, tally.kind)
        await asyncio.sleep(_DAY_SECONDS)


@contextmanager
def _retried_later() -> Iterator[None]:
    """Log an error of the body, such as a server that does not answer; the next round repeats it."""
    try:
        yield
    except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound, HearthError, OSError) as error:
        _log.warning("Old and stale runs were not checked (%s).", type(error).__name__)


def _as_child() -> None:
    """Let Prefect's worker end itself by SIGINT, which the watchdog's servers ignore, and end with this process.

    An orphaned worker would go on taking runs.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    die_with_parent()


if __name__ == "__main__":
    os.chdir(sys.argv[1] if len(sys.argv) > 1 else ".")
    sys.exit(asyncio.run(main()))
