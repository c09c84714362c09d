"""Prefect on this machine: a server, Hearth's deployments, and a worker that runs them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessWorker

from flows.local.prefect_server import prefect_api
from flows.local.prefect_yaml import prefect_yaml
from flows.local.worker import POOL
from tasks.backends.local.server import ServerSpec, lease_server
from tasks.core.errors import ServerError
from tasks.core.events import Progress, emit
from tasks.settings.settings import Settings

_ATTEMPTS = 3
_BUSY = ("503 Service Unavailable", "ReadTimeout", "database is locked")
_FOR_EVER = 10 * 365 * 86_400.0
# A worker that ends is noticed sooner; this is for machines with much else to do.
_DEADLINE_SECONDS = 600.0


async def bring_up(settings: Settings, deployments: Path | None = None) -> str:
    """Have a server, the deployments and a worker up, and return the address of Prefect's UI.

    Args:
        settings: whose home the servers are kept in.
        deployments: the file of the deployments; Hearth's own if None.

    Raises:
        ServerError: one of them does not come up.
    """
    async with prefect_api(settings):
        api = str(get_current_settings().api.url)
        environment = {**os.environ, "PREFECT_API_URL": api}
        emit(Progress("making the work pool and the deployments"))
        await _have_pool()
        await asyncio.to_thread(_prefect, _deploy(deployments or prefect_yaml()), environment)
        emit(Progress("starting the worker"))
        worker = await lease_server(
            _worker(api), settings.home, idle_seconds=_FOR_EVER, deadline_seconds=_DEADLINE_SECONDS
        )
        worker.lease.release()
        return str(get_current_settings().ui_url or api.removesuffix("/api"))


def _deploy(file: Path) -> tuple[str, ...]:
    return ("--no-prompt", "deploy", "--all", "--prefect-file", str(file.absolute()))


async def _have_pool() -> None:
    """Make the work pool unless there is one, whose settings are somebody's own."""
    wanted = WorkPoolCreate(
        name=POOL, type=ProcessWorker.type, base_job_template=ProcessWorker.get_default_base_job_template()
    )
    async with get_client() as client:
        with suppress(ObjectAlreadyExists):
            await client.create_work_pool(wanted)
        found = await client.read_work_pool(POOL)
    if found.type != ProcessWorker.type:
        raise ServerError(
            f"Prefect has a work pool {POOL} of type {found.type}, whose runs a process on this machine does not take. "
            f"Start a worker of that type, or delete the pool: prefect work-pool delete {POOL}"
        )


def _worker(api: str) -> ServerSpec:
    def environment(port: int) -> dict[str, str]:
        return {"PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1", "PREFECT_WORKER_WEBSERVER_PORT": str(port)}

    here = str(Path.cwd())
    command = [sys.executable, "-P", "-m", "flows.local.worker", here]
    return ServerSpec("worker", lambda _port: command, "/health", f"{sys.executable} {api} {here}", environment)


def _prefect(arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    """Run a command of Prefect that may be run again, and run it again if its server was only busy."""
    for attempt in range(1, _ATTEMPTS + 1):
        done = subprocess.run(  # noqa: S603 - Prefect's own command
            [sys.executable, "-P", "-m", "prefect", *arguments],
            env=environment,
            cwd="/",  # Prefect imports from where it is
            capture_output=True,
            text=True,
            check=False,
        )
        told = done.stdout + done.stderr
        if not done.returncode:
            return
        if attempt < _ATTEMPTS and any(busy in told for busy in _BUSY):
            continue
        lines = told.strip().splitlines()
        raise ServerError(f"`prefect {' '.join(arguments)}` failed: {lines[-1] if lines else 'it said nothing'}")
