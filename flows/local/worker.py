"""A Prefect worker of the pool `hearth`, for the configured server or a local one.

`python -m flows.local.worker [DIRECTORY]` runs until it is stopped. It keeps the local server alive, and ends when that
cannot be restarted. Runs use its directory: .env is read there, and relative paths refer to it. They import nothing
from it, and are forks of a warm process (`flows.local.warm_engine`).
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import httpx
from prefect.client.orchestration import get_client
from prefect.context import refresh_global_settings_context
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.utilities.processutils import command_to_string
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from flows.local import run_launcher
from flows.local.clean import clean
from flows.local.pool import POOL
from flows.local.prefect_server import prefect_api
from flows.local.run_engine import import_engine
from flows.local.warm_engine import start_warm_engine
from flows.orchestrator.stale_runs import crash_stale, drop_missed, free_leaked_slots
from tasks.core.aio import cancel_and_wait
from tasks.core.errors import HearthError
from tasks.core.imports import importing
from tasks.settings.settings import Settings, load_settings

_LIMITED = ("process-document/on-demand", "process-batch/on-demand")
PATIENT = {"PREFECT_CLIENT_MAX_RETRIES": "12"}
"""Environment of a worker that tolerates a busy server: after the default of 5 retries it would crash the run."""
_PROMPT = {"PREFECT_WORKER_QUERY_SECONDS": "1"}
"""Environment of a worker that looks for runs each second, not every ten. Prefect's server sends it none."""
_ANEW = (sys.executable, "-P", "-m", "flows.local.run_engine")
_POLL_SECONDS, _FIRST_CLEAN_SECONDS, _DAY_SECONDS = 60.0, 600.0, 86_400.0
_log = logging.getLogger(__name__)


class _Configuration(ProcessJobConfiguration):
    """The command of a run's process."""

    engine: ClassVar[str] = command_to_string([*_ANEW])

    def prepare_for_flow_run(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Prefect's
        """Start Hearth's engine, unless the deployment names a command of its own."""
        self.command = self.command or self.engine
        super().prepare_for_flow_run(*arguments, **options)


def main() -> None:
    """Run the worker until it is stopped."""
    settings = load_settings()  # before Prefect reads .env, too
    os.environ.update({**PATIENT, **_PROMPT, **os.environ})
    refresh_global_settings_context()
    with importing():
        import_engine()  # of the flows, the worker itself runs the hooks of crashed and cancelled runs
    if address := start_warm_engine():
        # Without site-packages and variables of Python's, it starts at once.
        launcher = (sys.executable, "-I", "-S", run_launcher.__file__, address)
        _Configuration.engine = command_to_string([*launcher, *_ANEW[1:]])
    # A server's processes ignore it; the processes of runs must not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asyncio.run(_work(settings))


async def _work(settings: Settings) -> None:
    async with prefect_api(settings) as api:
        os.environ.update(api.environment())  # that of runs
        await _drop_missed_runs()
        ProcessWorker.job_configuration = _Configuration
        working = asyncio.create_task(ProcessWorker(POOL).start(with_healthcheck=True))
        lost = asyncio.create_task(api.lost.wait())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            # If the server is being stopped as well, it must not be restarted.
            loop.add_signal_handler(number, api.lost.set)
        background = [asyncio.create_task(_crash_stale_runs()), asyncio.create_task(_clean_daily(settings))]
        try:
            await asyncio.wait({working, lost}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(working, lost, *background)
        if not working.cancelled():
            working.result()


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


if __name__ == "__main__":
    os.chdir(sys.argv[1] if len(sys.argv) > 1 else ".")
    main()
