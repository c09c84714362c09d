"""Prefect on this machine: a server, Hearth's deployments, and a worker that runs them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessWorker

from flows.local.prefect_server import prefect_api
from flows.local.prefect_yaml import prefect_yaml
from flows.local.profile import keep_profile
from flows.local.worker import POOL
from flows.orchestrator.automations import Wanted, defined
from tasks.backends.local.server import ServerSpec, lease_server
from tasks.backends.local.server_state import local_servers, stop_server
from tasks.core.errors import ServerError
from tasks.core.events import Progress, emit
from tasks.core.network import without_credentials
from tasks.settings.settings import Settings

_WORKER = "worker"
_FOR = "for "
_VANISHED = "Hearth: a run vanished"
_ANSWER_SECONDS = 10.0
_STOP_SECONDS = 60.0
_ATTEMPTS = 3
_BUSY = ("503 Service Unavailable", "ReadTimeout", "database is locked")
_FOR_EVER = 10 * 365 * 86_400.0
# A worker that ends is noticed sooner; this is for machines with much else to do.
_DEADLINE_SECONDS = 600.0


@dataclass(frozen=True)
class BroughtUp:
    """What `hearth up` brought up.

    Attributes:
        ui: where Prefect's UI is.
        password: of a server that Hearth started; None for another.
    """

    ui: str
    password: str | None = field(repr=False)


async def bring_up(settings: Settings, deployments: Path | None = None) -> BroughtUp:
    """Have a server, the deployments and a worker up.

    Args:
        settings: whose home the servers are kept in.
        deployments: the file of the deployments; Hearth's own if None.

    Raises:
        ServerError: one of them does not come up.
    """
    async with prefect_api(settings) as api:
        emit(Progress("making the work pool and the deployments"))
        await _have_pool()
        await asyncio.to_thread(_prefect, _deploy(deployments or prefect_yaml()), api.environment())
        if api.own is not None:
            async with get_client() as client:
                await _have_vanished_crash(client)
        emit(Progress("starting the worker"))
        await end_orphans(settings.home)
        worker = await lease_server(
            _worker(api.url), settings.home, idle_seconds=_FOR_EVER, deadline_seconds=_DEADLINE_SECONDS
        )
        worker.lease.release()
        if api.own is not None:
            keep_profile(api.url, api.own.password)
        ui = str(get_current_settings().ui_url or api.url.removesuffix("/api"))
        return BroughtUp(ui, None if api.own is None else api.own.password)


async def end_orphans(home: Path) -> None:
    """End workers whose server does not answer."""
    for worker in local_servers(home):
        api = (worker.about or "").removeprefix(_FOR).partition(" ")[0]
        if worker.name.startswith(f"{_WORKER}-") and api and not await _answers(api):
            emit(Progress(f"ending {worker.name}, whose server at {without_credentials(api)} is gone"))
            await asyncio.to_thread(stop_server, worker, wait_seconds=_STOP_SECONDS)


async def _answers(api: str) -> bool:
    with suppress(httpx.HTTPError):
        async with httpx.AsyncClient(timeout=_ANSWER_SECONDS, verify=False) as client:  # noqa: S501 - nothing is sent
            await client.get(f"{api}/health")
            return True
    return False


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
        place = {"PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1", "PREFECT_WORKER_WEBSERVER_PORT": str(port)}
        return {"PREFECT_API_URL": api, **place}

    here = str(Path.cwd())
    command = [sys.executable, "-P", "-m", "flows.local.worker", here]
    variant, about = f"{sys.executable} {api} {here}", f"{_FOR}{without_credentials(api)} in {here}"
    return ServerSpec(_WORKER, lambda _port: command, "/health", variant, environment, about=about)


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


async def _have_vanished_crash(client: PrefectClient) -> None:
    """Have Prefect crash runs that vanished. An automation for it that is there stays as a person wants it.

    Raises:
        UnavailableError: the deployments are not made.
    """
    if _VANISHED in {each.name for each in await client.read_automations()}:
        return
    for automation in await defined(client, Wanted()):
        if automation.name == _VANISHED:
            await client.create_automation(automation)
