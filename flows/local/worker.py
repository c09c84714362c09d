"""A Prefect worker of the pool `hearth`, over the server that is configured or a local one.

`python -m flows.local.worker [DIRECTORY]` runs until it is ended. As long as it lives the local server stays, too; when
that is gone for good, it ends. Its runs are in its directory, where .env is read and what relative paths are relative
to.
"""

from __future__ import annotations

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
"""The environment of a worker that bears a busy server: after five tries, the default, it would crash the run."""
_LOOK_SECONDS, _SETTLED_SECONDS, _DAY_SECONDS = 60.0, 600.0, 86_400.0
_log = logging.getLogger(__name__)


async def main() -> int:
    """Run the worker, and return its exit code."""
    settings = load_settings()
    async with prefect_api(settings) as api:
        await _before_the_first_run()
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "flows.local.process_worker", "--pool", POOL, "--with-healthcheck"),
            env={**PATIENT, **api.environment()},
            preexec_fn=_as_child,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _end, worker, api)
        working, lost = asyncio.create_task(worker.wait()), asyncio.create_task(api.lost.wait())
        tending = [asyncio.create_task(_tend()), asyncio.create_task(_clean_daily(settings))]
        try:
            await asyncio.wait({working, lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(lost, *tending)
        if not working.done():
            worker.terminate()
        return await working


def _end(worker: asyncio.subprocess.Process, api: PrefectApi) -> None:
    api.lost.set()  # whoever ends the worker may end the server, too: it is not started again
    with suppress(ProcessLookupError):
        worker.terminate()


async def _before_the_first_run() -> None:
    """Drop what was missed, before Prefect's worker would begin all of it at once."""
    with _again_later():
        async with get_client() as client:
            await drop_missed(client, POOL)
            await free_leaked_slots(client, _LIMITED)


async def _tend() -> None:
    """End the runs that a worker before this one claimed and never began."""
    while True:
        with _again_later():
            async with get_client() as client:
                for run in await crash_stale(client, POOL):
                    _log.warning("The run %s was claimed by a worker that is gone, and has crashed.", run)
        await asyncio.sleep(_LOOK_SECONDS)


async def _clean_daily(settings: Settings) -> None:
    """Do what `hearth clean` does, first when all that is to start has started."""
    await asyncio.sleep(_SETTLED_SECONDS)
    while True:
        with _again_later():
            for gone in await clean(settings, settings.output, dry_run=False):
                _log.warning("Deleted: %d %s.", gone.count, gone.kind)
        await asyncio.sleep(_DAY_SECONDS)


@contextmanager
def _again_later() -> Iterator[None]:
    """Let what does not work now, as with a server that does not answer, wait for the next time."""
    try:
        yield
    except (httpx.HTTPError, PrefectHTTPStatusError, ObjectNotFound, HearthError, OSError) as error:
        _log.warning("Old and stale runs were not looked for (%s).", type(error).__name__)


def _as_child() -> None:
    """Let Prefect's worker hear the SIGINT by which it ends itself, though the watchdog's servers ignore it.

    And have it end if this process is killed: a worker that nobody knows of would go on taking runs.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    die_with_parent()


if __name__ == "__main__":
    os.chdir(sys.argv[1] if len(sys.argv) > 1 else ".")
    sys.exit(asyncio.run(main()))
