"""A Prefect worker of the pool `hearth`, over the server that is configured or a local one.

`python -m flows.worker` runs until it is ended. As long as it lives the local server stays, too.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from prefect.settings import get_current_settings

from flows.prefect_server import prefect_api
from tasks.settings import load_settings

POOL = "hearth"


async def main() -> int:
    """Run the worker, and return its exit code."""
    async with prefect_api(load_settings()):
        worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", POOL, "--with-healthcheck"),
            env={**os.environ, "PREFECT_API_URL": str(get_current_settings().api.url)},
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, worker.terminate)
        return await worker.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
