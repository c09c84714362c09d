"""A Prefect worker of the pool `hearth`, over the server that is configured or a local one.

`python -m flows.local.worker [DIRECTORY]` runs until it is ended. As long as it lives the local server stays, too. Its
runs are in its directory, where .env is read and what relative paths are relative to.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from prefect.settings import get_current_settings

from flows.local.prefect_server import prefect_api
from tasks.backends.local.watchdog import die_with_parent
from tasks.settings.settings import load_settings

POOL = "hearth"


async def main() -> int:
    """Run the worker, and return its exit code."""
    async with prefect_api(load_settings()):
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "flows.local.process_worker", "--pool", POOL, "--with-healthcheck"),
            env={**os.environ, "PREFECT_API_URL": str(get_current_settings().api.url)},
            preexec_fn=_as_child,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.terminate)
        return await worker.wait()


def _as_child() -> None:
    """Let Prefect's worker hear the SIGINT by which it ends itself, though the watchdog's servers ignore it.

    And have it end if this process is killed: a worker that nobody knows of would go on taking runs.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    die_with_parent()


if __name__ == "__main__":
    os.chdir(sys.argv[1] if len(sys.argv) > 1 else ".")
    sys.exit(asyncio.run(main()))
