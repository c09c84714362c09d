"""Start Prefect on this machine: a server, Hearth's deployments, and a worker that runs them."""

import asyncio
import sys
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.settings import get_current_settings

from flows.local.deployer import Deployer
from flows.local.pool import create_pool
from flows.local.prefect_server import prefect_api
from flows.local.profile import keep_profile
from flows.orchestrator.automations import AutomationOptions, define_automations
from tasks.backends.local.server import ServerSpec, lease_server
from tasks.backends.local.server_state import local_servers, stop_server
from tasks.core.events import Progress, emit
from tasks.core.network import without_credentials
from tasks.settings.settings import Settings

_WORKER = "worker"
_FOR = "for "
_VANISHED = "Hearth: a run vanished"
_ANSWER_SECONDS = 10.0
_STOP_SECONDS = 60.0
_FOR_EVER = 10 * 365 * 86_400.0
# For busy machines; a worker that fails is noticed sooner.
_DEADLINE_SECONDS = 600.0


@dataclass(frozen=True)
class RunningPrefect:
    """The address of Prefect's UI, and the password of its server; None if Hearth did not start that."""

    ui: str
    password: str | None = field(repr=False)


async def bring_up(settings: Settings, deployer: Deployer) -> RunningPrefect:
    """Start the server, create the deployments, and start the worker, as far as they are missing.

    Raises:
        ServerError: the server or the worker does not start, or a deployment is not created; a worker that was started
            stays then, and the next call uses it.
    """
    async with prefect_api(settings) as api:
        emit(Progress("creating the work pool"))
        await create_pool()
        await end_orphans(settings.home)
        emit(Progress("creating the deployments and starting the worker"))
        deploying = asyncio.to_thread(deployer.deploy, api.environment())
        await _together(deploying, _start_worker(api.url, settings))
        if api.own is not None:
            async with get_client() as client:
                await _create_vanished_automation(client)
        if api.own is not None:
            keep_profile(api.url, api.own.password)
        ui = str(get_current_settings().ui_url or api.url.removesuffix("/api"))
        return RunningPrefect(ui, None if api.own is None else api.own.password)


async def _start_worker(api: str, settings: Settings) -> None:
    worker = await lease_server(_worker(api), settings.home, idle_seconds=_FOR_EVER, deadline_seconds=_DEADLINE_SECONDS)
    worker.lease.release()


async def _together(*steps: Awaitable[None]) -> None:
    """Await all steps, and raise the first one's error when all have ended."""
    for error in await asyncio.gather(*steps, return_exceptions=True):
        if error is not None:
            raise error


async def end_orphans(home: Path) -> None:
    """Stop workers whose server does not answer."""
    for worker in local_servers(home):
        api = (worker.about or "").removeprefix(_FOR).partition(" ")[0]
        if worker.name.startswith(f"{_WORKER}-") and api and not await _answers(api):
            emit(Progress(f"stopping {worker.name}, whose server at {without_credentials(api)} is gone"))
            await asyncio.to_thread(stop_server, worker, wait_seconds=_STOP_SECONDS)


async def _answers(api: str) -> bool:
    with suppress(httpx.HTTPError):
        async with httpx.AsyncClient(timeout=_ANSWER_SECONDS, verify=False) as client:  # noqa: S501 - nothing is sent
            await client.get(f"{api}/health")
            return True
    return False


def _worker(api: str) -> ServerSpec:
    def environment(port: int) -> dict[str, str]:
        place = {"PREFECT_WORKER_WEBSERVER_HOST": "127.0.0.1", "PREFECT_WORKER_WEBSERVER_PORT": str(port)}
        return {"PREFECT_API_URL": api, **place}

    here = str(Path.cwd())
    command = [sys.executable, "-P", "-m", "flows.local.worker", here]
    variant, about = f"{sys.executable} {api} {here}", f"{_FOR}{without_credentials(api)} in {here}"
    return ServerSpec(_WORKER, lambda _port: command, "/health", variant, environment, about=about)


async def _create_vanished_automation(client: PrefectClient) -> None:
    """Create the automation that marks vanished runs as crashed. An existing one stays as it is."""
    if _VANISHED in {automation.name for automation in await client.read_automations()}:
        return
    for automation in await define_automations(client, AutomationOptions()):
        if automation.name == _VANISHED:
            await client.create_automation(automation)
