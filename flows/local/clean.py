"""Delete expired files on this machine, and expired runs on Hearth's own Prefect server."""

import asyncio
import time

from prefect.client.orchestration import get_client

from flows.local.own_server import own_servers
from flows.local.prefect_server import prefect_api
from flows.orchestrator.old_runs import OTHERS, SWEEPS, count_old_runs, delete_old_runs
from tasks.core.paths import StoragePath
from tasks.retention.clean import expired_files
from tasks.retention.expired import Kind, Tally, sweep
from tasks.settings.settings import Settings


async def clean(settings: Settings, output: StoragePath, *, dry_run: bool) -> list[Tally]:
    """Delete what has expired, or only count it.

    Raises:
        HearthError: the results cannot be read.
        httpx.HTTPError: Prefect's server does not answer.
    """
    files = expired_files(settings, output, time.time())
    return [
        *await asyncio.to_thread(lambda: sweep(files, dry_run=dry_run)),
        *await clean_prefect(settings, dry_run=dry_run),
    ]


async def clean_prefect(settings: Settings, *, dry_run: bool) -> list[Tally]:
    """Delete or count expired runs, if Hearth started the Prefect server: other servers may be shared."""
    if not own_servers(settings.home):
        return []
    async with prefect_api(settings) as api:
        return [] if api.own is None else await clean_runs(settings, dry_run=dry_run)


async def clean_runs(settings: Settings, *, dry_run: bool) -> list[Tally]:
    """Delete or count the expired runs of the current Prefect server."""
    act = count_old_runs if dry_run else delete_old_runs
    async with get_client() as client:
        runs = await act(client, OTHERS, settings.retention.runs_days)
        sweeps = await act(client, SWEEPS, settings.retention.sweeps_days)
    return [Tally(kind, count, None) for kind, count in ((Kind.RUNS, runs), (Kind.SWEEPS, sweeps)) if count]
