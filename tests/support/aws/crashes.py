"""Processes that die at a given call, and who made a call."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from tests.support.aws.wire import Answer, Call, DroppedError, Proceed

Victim = int | subprocess.Popen | Callable[[], int | None]


@dataclass
class Crash:
    """SIGKILL for a process at its n-th call from now on.

    Attributes:
        call: the call at which it died, None while it lives.
        seen: how many of its calls there were.
    """

    n: int
    victim: Victim
    when: Literal["before", "after"]
    action: str
    call: Call | None = None
    seen: int = 0

    def target(self) -> int | None:
        if callable(self.victim):
            return self.victim()
        return self.victim if isinstance(self.victim, int) else self.victim.pid

    def due(self, call: Call) -> bool:
        """Whether this is the call; counts it."""
        if self.call is not None or not fnmatchcase(call.action, self.action):
            return False
        if self.target() not in call.pids:
            return False
        self.seen += 1
        return self.seen == self.n

    def kill(self, call: Call) -> None:
        """The process that was meant dies, and so does the child of it that asked."""
        victims = {self.target(), call.pid} - {None}
        assert os.getpid() not in victims, "that would kill the tests"
        self.call = call
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Crashes:
    """All that are due."""

    def __init__(self) -> None:
        self.planned: list[Crash] = []

    async def __call__(self, call: Call, proceed: Proceed) -> Answer:
        """The layer."""
        crash = next((each for each in self.planned if each.due(call)), None)
        if crash is None:
            return await proceed(call)
        if crash.when == "after":
            await proceed(call)
        crash.kill(call)
        call.outcome = f"killed {crash.when}"
        raise DroppedError


def family(pid: int) -> Iterator[int]:
    """A process and those it descends from."""
    while pid > 1:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return


def asking(port: int, front: int) -> int | None:
    """The process at the other end of a loopback connection to the front."""
    inode = _inode(port, front)
    if inode is None:
        return None
    own = os.getpid()
    others = (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit() and int(each.name) != own)
    return next((pid for pid in (own, *sorted(others, reverse=True)) if _holds(pid, f"socket:[{inode}]")), None)


def _inode(port: int, front: int) -> str | None:
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{port:04X}") and fields[2].endswith(f":{front:04X}"):
            return fields[9]
    return None


def _holds(pid: int, link: str) -> bool:
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if str(descriptor.readlink()) == link:
                    return True
    return False
