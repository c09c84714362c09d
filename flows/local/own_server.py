"""The Prefect server that Hearth starts on this machine: with a password, and at a port that stays."""

from __future__ import annotations

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
from tasks.backends.local.server_state import local_servers, stop_server
from tasks.core.errors import ServerError
from tasks.core.network import is_loopback
from tasks.core.private import write_text
from tasks.ollama.address import free_port
from tasks.settings.settings import Settings

NAME = "prefect-"
_PORT = 4200
# One that ends is noticed sooner; this is for machines with much else to do.
_DEADLINE_SECONDS = 600.0
_ANSWER_SECONDS = 5.0
_STOP_SECONDS = 30.0


@dataclass
class OwnServer:
    """A Prefect server of Hearth's that is leased.

    Attributes:
        password: what it asks for; it is in no representation of this.
    """

    leased: LeasedServer
    password: str = field(repr=False)

    @property
    def api(self) -> str:
        """The address of its API."""
        return f"{self.leased.url}/api"

    async def revive(self, settings: Settings) -> bool:
        """Start it again at its address if it has died.

        Returns:
            Whether it is there. One that somebody stopped stays away; so does one whose address is taken.
        """
        if not self.leased.has_ended():
            return True
        if self.leased.was_stopped():
            return False
        spec = _spec(self.password, urlsplit(self.leased.url).port)
        if spec.directory(settings.home).path != self.leased.directory.path:
            return False  # it was started with another home of Prefect's, or by another interpreter
        try:
            again = await _leased(spec, settings)
        except (ServerError, OSError):
            return False
        if again.url != self.leased.url:  # somebody else started it, elsewhere
            again.lease.release()
            return False
        self.leased.lease.release()
        self.leased = again
        return True


async def lease_own(settings: Settings) -> OwnServer:
    """Reuse or start the server.

    Raises:
        ServerError: it does not start, or one of an earlier version is in use.
    """
    await _replace_open(settings.home)
    secret = _password(settings.home)
    choose = partial(choose_port, settings.home)
    spec = _spec(secret, choose)
    directory = spec.directory(settings.home)
    running = await hold_server(settings.home, directory.path.name) if directory.path.exists() else None
    if running is not None:
        await _check_password(running, secret)
        running.lease.release()
    elif _taken(remembered_port(settings.home)):
        # Whoever took its address may have been sent the password by a client that knew no better.
        renew_password(settings.home)
        spec = _spec(secret := _password(settings.home), choose)
    leased = await _leased(spec, settings)
    write_text(settings.home / "prefect-port", f"{urlsplit(leased.url).port}\n")
    return OwnServer(leased, secret)


async def hold_own(url: str, settings: Settings) -> OwnServer | None:
    """Hold on to the server that a URL names, if it is one of Hearth's that runs."""
    for state in local_servers(settings.home):
        if state.name.startswith(NAME) and _same_place(url, state.url):
            if await _is_open(state.url):
                await _replace_open(settings.home)
            leased = await hold_server(settings.home, state.name)
            if leased is not None:
                secret = _password(settings.home)
                await _check_password(leased, secret)
                return OwnServer(leased, secret)
    return None


def was_own(url: str, home: Path) -> bool:
    """Whether a URL is the address that Hearth's server had when it ran last."""
    port = remembered_port(home)
    return port is not None and _same_place(url, f"http://{HOSTS[0]}:{port}")


def remembered_port(home: Path) -> int | None:
    """The port that the server had when it ran last."""
    with suppress(OSError, ValueError):
        port = int((home / "prefect-port").read_text())
        return port if 0 < port < 2**16 else None
    return None


def _password(home: Path) -> str:
    """The one that the user chose for servers, or Hearth's own."""
    chosen = get_current_settings().server.api.auth_string
    if chosen is None or chosen.get_secret_value() == ephemeral.SECRET:
        return password(home)
    return chosen.get_secret_value()


async def _leased(spec: ServerSpec, settings: Settings) -> LeasedServer:
    return await lease_server(
        spec, settings.home, idle_seconds=settings.idle_minutes * 60, deadline_seconds=_DEADLINE_SECONDS
    )


def _spec(secret: str, port: int | Callable[[], int] | None) -> ServerSpec:
    def command(port: int) -> list[str]:
        # Its bookkeeping may wait; the pages that share the processor with it should not.
        return ["nice", "-n", "10", sys.executable, "-P", "-m", "flows.local.prefect_app", str(port)]

    def environment(port: int) -> Mapping[str, str]:
        return {
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            AUTH: secret,
            # Its own pages alone, by both names of this machine.
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{host}:{port}" for host in HOSTS),
            # Where its pages look for it; unset, at port 4200.
            "PREFECT_UI_API_URL": f"http://{HOSTS[0]}:{port}/api",
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

    async def is_ours(client: httpx.AsyncClient, url: str) -> bool:
        return await knows_password(client, url, secret)

    variant = f"with a password {sys.executable} {PREFECT_HOME.value()}"
    return ServerSpec("prefect", command, "/api/health", variant, environment, port, is_ours=is_ours)


async def _check_password(server: LeasedServer, secret: str) -> None:
    """See that a server that answers has this password.

    Raises:
        ServerError: it has another one.
    """
    with suppress(httpx.TransportError):  # it starts just now, or ends
        async with _client() as client:
            healthy = (await client.get(f"{server.url}/api/health")).is_success
            if healthy and not await knows_password(client, server.url, secret):
                server.lease.release()
                raise ServerError(
                    f"The Prefect server at {server.url} was started with another password. "
                    "Run hearth down, and then this again."
                )


async def _replace_open(home: Path) -> None:
    """Stop the server of an earlier version, which asks for no password.

    Raises:
        ServerError: it is in use.
    """
    for state in local_servers(home):
        if not state.name.startswith(NAME) or not await _is_open(state.url):
            continue
        if state.stops_at is None:
            raise ServerError(
                f"The Prefect server at {state.url} asks for no password, so that everybody on this machine can use "
                "it: an earlier version of Hearth started it, and it is in use. Run hearth down, and then this again."
            )
        await asyncio.to_thread(stop_server, state, wait_seconds=_STOP_SECONDS)


async def _is_open(url: str) -> bool:
    with suppress(httpx.HTTPError):
        async with _client() as client:
            return (await client.get(f"{url}/api/admin/version")).is_success
    return False


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=False)


def _same_place(url: str, other: str) -> bool:
    ours, theirs = urlsplit(url), urlsplit(other)
    return ours.scheme == "http" and is_loopback(ours.hostname or "") and ours.port == theirs.port


def choose_port(home: Path) -> int:
    """Return 4200 if it is free, else the last one, else any that is free."""
    last = remembered_port(home)
    return next((port for port in (_PORT, last) if port is not None and not _taken(port)), None) or free_port()


def _taken(port: int | None) -> bool:
    if port is None:
        return False
    try:
        socket.create_server((HOSTS[0], port)).close()
    except OSError:
        return True
    return False
