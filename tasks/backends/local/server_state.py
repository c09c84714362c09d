"""The state of the servers that Hearth keeps on this machine."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.backends.local.watchdog import ServerDirectory
from tasks.core.clock import elapsed
from tasks.core.errors import ServerError
from tasks.core.file_locks import is_held
from tasks.core.owners import user_name
from tasks.core.private import check_access

_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class ServerState:
    """The state of a server.

    Attributes:
        stops_at: seconds since the epoch; None while it is leased.
        about: its purpose, if that is known.
    """

    name: str
    url: str
    stops_at: float | None
    watchdog_pid: int
    about: str | None = None


def local_servers(home: Path) -> Iterator[ServerState]:
    """Generate the states of the servers that run.

    Raises:
        StorageError: the directory is another user's.
    """
    check_access(home)
    for path in sorted((home / "servers").glob("*")):
        directory = ServerDirectory(path)
        record = published(directory)
        if record is not None:
            stops_at, pid = _stops_at(record), int(record["watchdog_pid"])
            yield ServerState(path.name, str(record["url"]), stops_at, pid, record.get("about"))


def _stops_at(record: dict[str, Any]) -> float | None:
    """Return when a watchdog will stop its server, by the wall clock, which the version before counts by."""
    since = record["idle_since"]
    if since is not None and (since_elapsed := record.get("idle_elapsed")) is not None:
        since = time.time() - (elapsed() - float(since_elapsed))
    return None if since is None else float(since) + float(record["idle_seconds"])


def stop_server(state: ServerState, *, wait_seconds: float = 0.0) -> None:
    """Have a server's watchdog stop it, and wait for its end for at most `wait_seconds`."""
    with suppress(ProcessLookupError):  # it has stopped meanwhile
        try:
            os.kill(state.watchdog_pid, signal.SIGTERM)
        except PermissionError:
            user = _user_of(state.watchdog_pid)
            raise ServerError(f"{state.name} was started by {user}, who alone can stop it.") from None
        deadline = time.monotonic() + wait_seconds
        while time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
            os.kill(state.watchdog_pid, 0)


def _user_of(process: int) -> str:
    try:
        return user_name(Path("/proc", str(process)).stat().st_uid)
    except OSError:  # no such list on this system
        return "another user"


def published(directory: ServerDirectory) -> dict[str, Any] | None:
    """Return a server's record if its watchdog lives; one that was killed leaves its record behind."""
    record = directory.read()
    return record if record is not None and is_held(directory.alive) else None
