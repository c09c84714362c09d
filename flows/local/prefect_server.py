"""A Prefect server for those who have none: started on this machine when needed, shared, stopped when idle.

Prefect's own temporary server starts anew for each process (9 s here) and shows nothing in a browser. This one is
kept warm like the servers that read pages, so that the next run starts at once and its runs can be looked at.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, get_current_settings, temporary_settings

from tasks.backends.local.server import ServerSpec, lease_server
from tasks.core.errors import ServerError
from tasks.core.events import Progress, emit
from tasks.core.network import PREFECTS_CERTIFICATES, check_way_to, without_credentials
from tasks.settings.settings import Settings

# One that ends is noticed sooner; this is for machines with much else to do.
_DEADLINE_SECONDS = 600.0


@asynccontextmanager
async def prefect_api(settings: Settings) -> AsyncIterator[None]:
    """Have Prefect's API at hand: the one that PREFECT_API_URL or the profile names, else a local server's.

    Raises:
        ServerError: it does not answer, or the local server does not start.
    """
    configured = get_current_settings().api.url
    if configured:
        check_way_to(configured, PREFECTS_CERTIFICATES)
        async with get_client() as client:
            trouble = await client.api_healthcheck()
        if trouble is not None:
            raise ServerError(
                f"Prefect does not answer at {without_credentials(configured)}. "
                "Start it, correct PREFECT_API_URL, or unset it to have Hearth start a local one."
            )
        yield
        return
    emit(Progress("starting a local Prefect server (the next run finds it warm)"))
    server = await lease_server(
        _spec(),
        settings.home,
        idle_seconds=settings.idle_minutes * 60,
        deadline_seconds=_DEADLINE_SECONDS,
    )
    try:
        with temporary_settings({PREFECT_API_URL: f"{server.url}/api"}):
            yield
    finally:
        server.lease.release()


def _spec() -> ServerSpec:
    def command(port: int) -> list[str]:
        # Its bookkeeping may wait; the pages that share the processor with it should not.
        return [
            "nice",
            "-n",
            "10",
            sys.executable,
            "-P",
            "-m",
            "prefect",
            "server",
            "start",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]

    def environment(port: int) -> dict[str, str]:
        return {
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            # Where its pages look for it; unset, at port 4200.
            "PREFECT_UI_API_URL": f"http://127.0.0.1:{port}/api",
            # One by one, as is the default, each task run costs the server 38 ms of processor time; in batches 15.
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
            # By default in memory: after a restart nobody would give the slots of runs back that were killed, and a
            # run that lives, whose lease is forgotten, would be ended.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            # Logs and artifacts of runs that were deleted; they would stay, and runs themselves are Hearth's affair.
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,orphans",
        }

    return ServerSpec("prefect", command, "/api/health", f"{sys.executable} {PREFECT_HOME.value()}", environment)
