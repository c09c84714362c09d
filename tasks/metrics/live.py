"""What runs do at this moment, each in a small file of its own that is written anew each second and goes at the end."""

from __future__ import annotations

import os
import platform
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.core.private import make_directory, write_text

STALE_SECONDS = 15.0
"""A file that was not written for so long is of a run that stands still, or is no more."""
_FORGOTTEN_SECONDS = 3600.0


class _Told(BaseModel):
    """Read by another version of Hearth than wrote it, perhaps."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class LiveServer(_Told):
    """A server that a run reads on.

    Attributes:
        in_flight: pages of this run in its slots.
        slots: that this run has or could have now: those that no other run holds.
        most: that this run will use at the most.
        limit: requests that all runs together send at once just now.
    """

    url: str
    in_flight: int
    slots: int
    most: int
    limit: int


class LiveRun(_Told):
    """A run.

    Attributes:
        name: what it reads, and where it runs.
        pool: of its machines, or the backend's name.
        host, pid: the process.
        started_at, at: when it began and when this was written, seconds since the epoch.
        asked, done, failed: pages that are to be read, were stored, and failed.
        p50, p95: latency of the last hundred pages, seconds; None before the first.
        usd: what its machines have cost so far; of one that runs share, its equal part.
    """

    name: str
    backend: str
    pool: str
    model: str
    host: str
    pid: int
    started_at: float
    at: float
    stage: str
    asked: int
    done: int
    failed: int
    pages_a_minute: float
    tokens_a_second: float
    p50: float | None = None
    p95: float | None = None
    usd: float
    servers: tuple[LiveServer, ...] = ()

    @property
    def in_flight(self) -> int:
        """Pages in a slot."""
        return sum(server.in_flight for server in self.servers)

    @property
    def slots(self) -> int:
        """Slots that it has or could have now."""
        return sum(server.slots for server in self.servers)

    def lives(self, now: float) -> bool:
        """Whether it still goes on, as far as can be told."""
        if now - self.at > STALE_SECONDS:
            return False
        if self.host != platform.node():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


class LiveFile:
    """A run's file."""

    def __init__(self, home: Path) -> None:
        self._path = _directory(home) / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.json"

    def write(self, run: LiveRun) -> None:
        """Put it in the place of the one before.

        Raises:
            OSError: there is no room for it.
        """
        make_directory(self._path.parent)
        new = self._path.with_suffix(".new")
        write_text(new, run.model_dump_json())
        new.replace(self._path)

    def remove(self) -> None:
        """Have nobody see it any more, and forget what runs left that were killed."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            for path in self._path.parent.iterdir():
                if time.time() - path.stat().st_mtime > _FORGOTTEN_SECONDS:
                    path.unlink(missing_ok=True)


def live_runs(home: Path) -> Iterator[LiveRun]:
    """The runs that go on now, the oldest first; none that was killed."""
    found = []
    for path in _directory(home).glob("*.json"):
        with suppress(OSError, ValidationError):
            run = LiveRun.model_validate_json(path.read_bytes())
            if run.lives(time.time()):
                found.append(run)
    yield from sorted(found, key=lambda run: (run.started_at, run.pid))


def _directory(home: Path) -> Path:
    return home / "runs"
