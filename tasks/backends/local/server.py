"""A server on this machine that is started once, shared by every run, and stops by itself when idle."""

from __future__ import annotations

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
from tasks.core.network import normalize_environment
from tasks.core.private import check_access, make_directory
from tasks.ollama.address import free_port
from tasks.storage.file_locks import FileLock, is_held, take_exclusive, take_shared

_HEALTH_POLL_SECONDS = 0.05
_PUBLISH_SECONDS = 120.0
_START_TRIES = 3


@dataclass(frozen=True)
class ServerSpec:
    """How to start a server.

    Attributes:
        name: what it is called; runs that name the same spec share the server.
        command: the argument vector, given the port on 127.0.0.1.
        health: the path that answers 200 when the server is up.
        variant: tells apart servers of one name that are started differently.
        environment: variables set for it, given the port.
        port: a fixed one, or what chooses it when the server starts; None takes any that is free.
        slots: requests at once that it is started for.
        inherits: variables of this process's environment that it is given, beside what an interpreter needs; None: all.
        about: what it is for, as `hearth status` tells it.
        is_ours: whether what answers at an address is this server, and not a program that took its port before it.
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
        """Where runs and watchdog meet."""
        variant = hashlib.sha256(self.variant.encode()).hexdigest()[:8]
        return ServerDirectory(home / "servers" / f"{self.name}-{variant}")


@dataclass(frozen=True)
class LeasedServer:
    """A server that will not stop before `lease` is released.

    Attributes:
        started: by this call.
        process: tells it from those that ran at its address before or will after it.
        slots: requests at once that it was started for; None if that is not known.
    """

    url: str
    lease: FileLock
    started: bool
    directory: ServerDirectory
    process: str
    slots: int | None = None

    def has_ended(self) -> bool:
        """Whether it is gone, though it is leased: it died, or was killed or stopped by hand."""
        record = published(self.directory)
        return record is None or process_of(record) != self.process

    def was_stopped(self) -> bool:
        """Whether somebody stopped it, so that it should stay away."""
        return self.directory.stopped.exists()


async def lease_server(spec: ServerSpec, home: Path, *, idle_seconds: float, deadline_seconds: float) -> LeasedServer:
    """Reuse the server, or start it, and hold on to it.

    Args:
        spec: which.
        home: where Hearth keeps track of its servers.
        idle_seconds: how long it stays after its last lease, if this call starts it.
        deadline_seconds: how long it may take to answer.

    Raises:
        ServerError: it does not start, or does not answer in time; with the end of its log.
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
            # It may have died just now, or lost its port in the moment between choosing and binding it.
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
    """Hold on to a server that runs, by its name in `local_servers`; None if it has ended."""
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
        # While we hold a lease no watchdog stops its server; one that is withdrawing has let nobody in.
        record = published(directory)
        if record is not None:
            return str(record["url"]), False
        port = spec.port() if callable(spec.port) else spec.port or free_port()
        url = f"http://127.0.0.1:{port}"
        subprocess.run(  # noqa: S603 - the command is a backend's own
            [
                *(
                    sys.executable,
                    "-P",
                    "-m",
                    "tasks.backends.local.watchdog",
                    "--url",
                    url,
                    "--idle",
                    str(idle_seconds),
                ),
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
    """What tells the server of a record from others at its address; of a watchdog of the version before, too."""
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
