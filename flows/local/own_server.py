"""The Prefect server that Hearth starts on this machine, with a password and a stable port."""

import asyncio
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from prefect.settings import PREFECT_HOME, get_current_settings

from flows.local.password import password, renew_password
from flows.local.prefect_app import AUTH, HOSTS, knows_password
from flows.orchestrator import ephemeral
from tasks.backends.local.server import LeasedServer, ServerSpec, hold_server, lease_server
from tasks.backends.local.server_state import ServerState, local_servers, stop_server
from tasks.core.errors import ServerError
from tasks.core.network import is_loopback
from tasks.core.private import write_text
from tasks.ollama.address import free_port
from tasks.settings.settings import Settings

NAME = "prefect-"
DEFAULT_PORT = 4200
# For busy machines; a server that fails is noticed sooner.
_DEADLINE_SECONDS = 600.0
_RESPONSE_SECONDS = 5.0
_STOP_SECONDS = 30.0


@dataclass
class OwnServer:
    """A leased Prefect server that Hearth started, with its password, which the representation omits."""

    leased: LeasedServer
    password: str = field(repr=False)

    @property
    def api(self) -> str:
        """The address of its API."""
        return f"{self.leased.url}/api"

    async def revive(self, settings: Settings) -> bool:
        """Restart the server at its address if it has died.

        Returns:
            Whether the server runs. It is not restarted if it was stopped, or if its address is in use.
        """
        if not self.leased.has_ended():
            return True
        if self.leased.was_stopped():
            return False
        spec = _spec(self.password, urlsplit(self.leased.url).port)
        if spec.directory(settings.home).path != self.leased.directory.path:
            return False  # it was started with another PREFECT_HOME or interpreter
        try:
            restarted = await _lease(spec, settings)
        except (ServerError, OSError):
            return False
        if restarted.url != self.leased.url:  # another process started it at another address
            restarted.lease.release()
            return False
        self.leased.lease.release()
        self.leased = restarted
        return True


async def lease_own(settings: Settings) -> OwnServer:
    """Reuse or start the server, and lease it; raise ServerError if it does not start, or an old one is in use."""
    await replace_open(settings.home)
    secret = _password(settings.home)
    choose = partial(choose_port, settings.home)
    spec = _spec(secret, choose)
    directory = spec.directory(settings.home)
    running = await hold_server(settings.home, directory.path.name) if directory.path.exists() else None
    if running is not None:
        await check_password(running, secret)
        running.lease.release()
    elif _is_used(remembered_port(settings.home)):
        # A client may have sent the password to the process that uses the server's address now.
        renew_password(settings.home)
        spec = _spec(secret := _password(settings.home), choose)
    leased = await _lease(spec, settings)
    write_text(settings.home / "prefect-port", f"{urlsplit(leased.url).port}\n")
    return OwnServer(leased, secret)


async def hold_own(url: str, settings: Settings) -> OwnServer | None:
    """Lease the server at a URL, if it is a running server of Hearth's."""
    for state in own_servers(settings.home):
        if _same_server(url, state.url):
            if await _is_open(state.url):
                await replace_open(settings.home)
            leased = await hold_server(settings.home, state.name)
            if leased is not None:
                secret = _password(settings.home)
                await check_password(leased, secret)
                return OwnServer(leased, secret)
    return None


def own_servers(home: Path) -> list[ServerState]:
    """Return the Prefect servers that Hearth runs on this machine."""
    return [server for server in local_servers(home) if server.name.startswith(NAME)]


def was_own(url: str, home: Path) -> bool:
    """Return whether Hearth's server used this address when it last ran."""
    port = remembered_port(home)
    return port is not None and _same_server(url, f"http://{HOSTS[0]}:{port}")


def remembered_port(home: Path) -> int | None:
    """Return the port that the server used when it last ran; None if there is none."""
    with suppress(OSError, ValueError):
        port = int((home / "prefect-port").read_text())
        return port if 0 < port < 2**16 else None
    return None


def _password(home: Path) -> str:
    """Return the password that the user configured for Prefect servers, or Hearth's own."""
    chosen = get_current_settings().server.api.auth_string
    value = chosen.get_secret_value() if chosen is not None else ephemeral.SECRET
    return password(home) if value == ephemeral.SECRET else value


async def _lease(spec: ServerSpec, settings: Settings) -> LeasedServer:
    return await lease_server(
        spec, settings.home, idle_seconds=settings.idle_minutes * 60, deadline_seconds=_DEADLINE_SECONDS
    )


def _spec(secret: str, port: int | Callable[[], int] | None) -> ServerSpec:
    def command(port: int) -> list[str]:
        # Reading pages on the same processor has priority.
        return ["nice", "-n", "10", sys.executable, "-P", "-m", "flows.local.prefect_app", str(port)]

    def environment(port: int) -> Mapping[str, str]:
        return {
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            AUTH: secret,
            # Only its own UI, by both names of this machine.
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{host}:{port}" for host in HOSTS),
            # The address that the UI calls; the default has port 4200.
            "PREFECT_UI_API_URL": f"http://{HOSTS[0]}:{port}/api",
            # Recorded one by one, the default, a task run costs the server 38 ms of processor time; in batches, 15.
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
            "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
            # The default is memory: after a restart, the slots of killed runs would never be freed, and active runs
            # would be ended because their leases are lost.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            # Also deletes the logs and artifacts of runs that Hearth has deleted.
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,orphans",
        }

    async def is_ours(client: httpx.AsyncClient, url: str) -> bool:
        return await knows_password(client, url, secret)

    variant = f"with a password {sys.executable} {PREFECT_HOME.value()}"
    return ServerSpec("prefect", command, "/api/health", variant, environment, port, is_ours=is_ours)


async def check_password(server: LeasedServer, secret: str) -> None:
    """Raise ServerError if a server that answers has another password."""
    with suppress(httpx.TransportError):  # it is starting or stopping
        async with _client() as client:
            healthy = (await client.get(f"{server.url}/api/health")).is_success
            if healthy and not await knows_password(client, server.url, secret):
                server.lease.release()
                raise ServerError(
                    f"The Prefect server at {server.url} was started with another password. "
                    "Run hearth down, and repeat the command."
                )


async def replace_open(home: Path) -> None:
    """Stop a server of an earlier version, which has no password; raise ServerError if it is in use."""
    for state in own_servers(home):
        if not await _is_open(state.url):
            continue
        if state.stops_at is None:
            raise ServerError(
                f"The Prefect server at {state.url} has no password, so every user of this machine can use it. An "
                "earlier version of Hearth started it, and it is in use. Run hearth down, and repeat the command."
            )
        await asyncio.to_thread(stop_server, state, wait_seconds=_STOP_SECONDS)


async def _is_open(url: str) -> bool:
    with suppress(httpx.HTTPError):
        async with _client() as client:
            return (await client.get(f"{url}/api/admin/version")).is_success
    return False


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=_RESPONSE_SECONDS, verify=False, trust_env=False)  # noqa: S501 - loopback, plain HTTP


def _same_server(url: str, other: str) -> bool:
    ours, theirs = urlsplit(url), urlsplit(other)
    return ours.scheme == "http" and is_loopback(ours.hostname or "") and ours.port == theirs.port


def choose_port(home: Path) -> int:
    """Return port 4200 if it is free, else the last one, else any free port."""
    last = remembered_port(home)
    return next((port for port in (DEFAULT_PORT, last) if port is not None and not _is_used(port)), None) or free_port()


def _is_used(port: int | None) -> bool:
    with suppress(OSError):
        if port is not None:
            socket.create_server((HOSTS[0], port)).close()
        return False
    return True
