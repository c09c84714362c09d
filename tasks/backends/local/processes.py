"""Processes that a server has started itself: they end with it, however it ends."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

MARK = "SERVER_OF_HEARTH"  # names that begin with HEARTH_ are settings
"""An environment variable that marks each server, and all that it starts, with its directory."""

_PROC = Path("/proc")
_GONE_SECONDS = 2.0
_LOOK_SECONDS = 0.02


def end_group(leader: int) -> None:
    """Kill the rest of the process group of a server that has ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def end_marked(directory: Path) -> None:
    """Kill the rest of a directory's servers, also outside their groups, and wait for their end (Linux)."""
    deadline = time.monotonic() + _GONE_SECONDS
    while (left := list(_marked(directory))) and time.monotonic() < deadline:
        for process in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        time.sleep(_LOOK_SECONDS)


def _marked(directory: Path) -> Iterator[int]:
    mark = f"{MARK}={directory}".encode()
    for path in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or is another user's
            if int(path.name) != os.getpid() and mark in (path / "environ").read_bytes().split(b"\0"):
                yield int(path.name)
