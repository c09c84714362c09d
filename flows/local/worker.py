"""A Prefect worker of the pool `hearth`, over the server that is configured or a local one.

`python -m flows.local.worker [DIRECTORY]` runs until it is ended. As long as it lives the local server stays, too; when
that is gone for good, it ends. Its runs are in its directory, where .env is read and what relative paths are relative
to.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress

from flows.local.prefect_server import PrefectApi, prefect_api
from tasks.backends.local.watchdog import die_with_parent
from tasks.core.aio import cancel_and_wait
from tasks.settings.settings import load_settings

POOL = "hearth"


async def main() -> int:
    """Run the worker, and return its exit code."""
    async with prefect_api(load_settings()) as api:
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", POOL, "--with-healthcheck"),
            env=api.environment(),
            preexec_fn=_as_child,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _end, worker, api)
        working, lost = asyncio.create_task(worker.wait()), asyncio.create_task(api.lost.wait())
        await asyncio.wait({working, lost}, return_when=asyncio.FIRST_COMPLETED)
        await cancel_and_wait(lost)
        if not working.done():
            worker.terminate()
        return await working


def _end(worker: asyncio.subprocess.Process, api: PrefectApi) -> None:
    api.lost.set()  # whoever ends the worker may end the server, too: it is not started again
    with suppress(ProcessLookupError):
        worker.terminate()


def _as_child() -> None:
    """Let Prefect's worker hear the SIGINT by which it ends itself, though the watchdog's servers ignore it.

    And have it end if this process is killed: a worker that nobody knows of would go on taking runs.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    die_with_parent()


if __name__ == "__main__":
    os.chdir(sys.argv[1] if len(sys.argv) > 1 else ".")
    sys.exit(asyncio.run(main()))
