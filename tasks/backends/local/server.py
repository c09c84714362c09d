"""Start a server on this machine once, to be shared by every run. It stops by itself when idle."""

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tasks.backends.local.server_state import published
from tasks.backends.local.watchdog import ServerDirectory
from tasks.core.environment import PYTHON, select_variables
from tasks.core.errors import ServerError
from tasks.core.file_locks import FileLock, is_held, take_exclusive, take_shared
from tasks.core.network import normalize_environment
from tasks.core.private import check_access, make_directory
from tasks.ollama.address import free_port

_HEALTH_POLL_SECONDS = 0.05
_PUBLISH_SECONDS = 120.0
_START_TRIES = 3


@dataclass(frozen=True)
class ServerSpec:
    """How to start a server.

    Attributes:
        name: of the server; runs that name the same spec share it.
        command: the argument vector, given the port on 127.0.0.1.
        health: the path that answers 200 when the server is up.
        variant: differs between servers of one name that are started differently.
        environment: variables to set for it, given the port.
        port: a fixed one, or a function that chooses it at the start; None for any free port.
        slots: parallel requests that it is started for.
        inherits: variables that it inherits, besides those of an interpreter; None: all.
        about: its purpose, for `hearth status`.
        is_ours: whether the program at an address is this server, not another that took its port first.
    """

    name: str
    command: Callable[[int], list[str]]
    health: str
    variant: str = ""
    environment: Callable[[int], Mapping[str, str]] = field(default=lambda _port: {})
    port: int | Callable[[], int] | None = None
    slots: int | None = None
    inherits: tuple[str, ...] | None = None
    about: str | None = None
    is_ours: Callable[[httpx.AsyncClient, str], Awaitable[bool]] | None = None

    def directory(self, home: Path) -> ServerDirectory:
        """Return the directory that runs and the watchdog share."""
        variant = hashlib.sha256(self.variant.encode()).hexdigest()[:8]
        return ServerDirectory(home / "servers" / f"{self.name}-{variant}")


@dataclass(frozen=True)
class LeasedServer:
    """A server that does not stop before `lease` is released.

    Attributes:
        started: whether this call started it.
        process: differs from that of any earlier or later server at its address.
        slots: parallel requests that it was started for; None if unknown.
    """

    url: str
    lease: FileLock
    started: bool
    directory: ServerDirectory
    process: str
    slots: int | None = None

    def has_ended(self) -> bool:
        """Return whether it is gone although it is leased: it died, or was killed or stopped by hand."""
        record = published(self.directory)
        return record is None or process_of(record) != self.process

    def was_stopped(self) -> bool:
        """Return whether it was stopped by hand, and should stay so."""
        return self.directory.stopped.exists()


async def lease_server(spec: ServerSpec, home: Path, *, idle_seconds: float, deadline_seconds: float) -> LeasedServer:
    """Reuse the server, or start it, and lease it.

    If this call starts it, it stays for `idle_seconds` after its last lease.

    Raises:
        ServerError: it does not start, or does not answer within `deadline_seconds`; with the end of its log.
    """
    normalize_environment()
    directory = spec.directory(home)
    check_access(home)
    try:
        make_directory(directory.path.parent)
        make_directory(directory.path)
    except OSError as error:
        raise ServerError(
            f"{directory.path} cannot be made: {error.strerror}. Set HEARTH_HOME to another place."
        ) from None
    lease = await asyncio.to_thread(take_shared, directory.lease)
    try:
        deadline = time.monotonic() + deadline_seconds
        for _ in range(_START_TRIES):
            url, started = await asyncio.to_thread(_ensure_started, spec, directory, idle_seconds)
            # It may have died just now, or lost its port between choosing and binding it.
            answers = await _answers(spec, url, directory, deadline)
            record = published(directory)
            if answers and record is not None:
                return LeasedServer(url, lease, started, directory, process_of(record), record.get("slots"))
            if time.monotonic() >= deadline:
                break
        raise ServerError(
            f"The {spec.name} server did not start. Its log, {directory.log}, ends: {_tail(directory.log)}"
        )
    except BaseException:
        lease.release()
        raise


async def hold_server(home: Path, name: str) -> LeasedServer | None:
    """Lease a running server by its name in `local_servers`; return None if it has ended."""
    directory = ServerDirectory(home / "servers" / name)
    lease = await asyncio.to_thread(take_shared, directory.lease)
    record = published(directory)
    if record is None:
        lease.release()
        return None
    return LeasedServer(str(record["url"]), lease, False, directory, process_of(record), record.get("slots"))  # noqa: FBT003


def _ensure_started(spec: ServerSpec, directory: ServerDirectory, idle_seconds: float) -> tuple[str, bool]:
    start = take_exclusive(directory.start)
    try:
        # While this process holds a lease, no watchdog stops its server; one that withdraws admits no lease.
        record = published(directory)
        if record is not None:
            return str(record["url"]), False
        port = spec.port() if callable(spec.port) else spec.port or free_port()
        url = f"http://127.0.0.1:{port}"
        subprocess.run(  # noqa: S603 - the command is a backend's own
            [
                *(sys.executable, "-P", "-m", "tasks.backends.local.watchdog"),
                *("--url", url, "--idle", str(idle_seconds)),
                *(() if spec.slots is None else ("--slots", str(spec.slots))),
                *(() if spec.about is None else ("--about", spec.about)),
                *(str(directory.path), *spec.command(port)),
            ],
            check=True,
            stdin=subprocess.DEVNULL,
            cwd="/",
            env={**_inherited(spec), **spec.environment(port)},
        )
        deadline = time.monotonic() + _PUBLISH_SECONDS
        while is_held(directory.alive) and directory.read() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        return url, True
    finally:
        start.release()


def _inherited(spec: ServerSpec) -> dict[str, str]:
    return dict(os.environ) if spec.inherits is None else select_variables((*PYTHON, *spec.inherits))


def process_of(record: dict[str, Any]) -> str:
    """Return what identifies the server of a record; a watchdog of the version before writes the same."""
    return f"{record['watchdog_pid']} {record['server_pid']}"


async def _answers(spec: ServerSpec, url: str, directory: ServerDirectory, deadline: float) -> bool:
    async with httpx.AsyncClient(timeout=5.0, verify=False, trust_env=False) as client:  # noqa: S501 - loopback, plain HTTP
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if (await client.get(url + spec.health)).is_success and (
                    spec.is_ours is None or await spec.is_ours(client, url)
                ):
                    return True
            if published(directory) is None:
                return False
            await asyncio.sleep(_HEALTH_POLL_SECONDS)
    return False


def _tail(log: Path, lines: int = 3) -> str:
    try:
        text = log.read_text(errors="replace").strip()
    except OSError:
        return "(no log)"
    return " | ".join(text.splitlines()[-lines:]) or "(empty)"
