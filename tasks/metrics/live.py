"""The current state of runs: a small file each, which is rewritten every second and removed at the end."""

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
"""Age at which a file belongs to a run that hangs or has ended."""
_FORGOTTEN_SECONDS = 3600.0


class _Shared(BaseModel):
    """A record that another version of Hearth may have written."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class LiveServer(_Shared):
    """A server that a run reads on.

    Attributes:
        in_flight: pages of this run in its slots.
        slots: slots that this run has or could have now, which no other run holds.
        most: most slots that this run will use.
        limit: parallel requests of all runs together at the moment.
        unproven: those of `slots` that were asked for, and that no pages have shown yet.
    """

    url: str
    in_flight: int
    slots: int
    most: int
    limit: int
    unproven: int = 0


class LiveRun(_Shared):
    """A run.

    Attributes:
        name: what it reads, and where it runs.
        pool: the pool of its machines, or the backend's name.
        host, pid: the process.
        started_at, at: when it started and when this was written, seconds since the epoch.
        asked, done, failed: pages that are to be read, were stored, and failed.
        p50, p95: latency of the last hundred pages, seconds; None before the first.
        first_p50, first_p95: seconds to the first token of the last hundred pages; None before the first.
        usd: cost of its machines so far; of a machine that runs share, an equal part.
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
    first_p50: float | None = None
    first_p95: float | None = None
    usd: float
    servers: tuple[LiveServer, ...] = ()

    @property
    def in_flight(self) -> int:
        """Its pages in slots."""
        return sum(server.in_flight for server in self.servers)

    @property
    def slots(self) -> int:
        """The slots that it has or could have now."""
        return sum(server.slots for server in self.servers)

    @property
    def unproven(self) -> int:
        """Those of its slots that no pages have shown yet."""
        return sum(server.unproven for server in self.servers)

    def is_running(self, now: float) -> bool:
        """Return whether it still runs, as far as this machine can know."""
        if now - self.at > STALE_SECONDS:
            return False
        if self.host != platform.node():
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:  # another user's
            pass
        return True


class LiveFile:
    """The file of a run."""

    def __init__(self, home: Path) -> None:
        self._path = _directory(home) / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.json"

    def write(self, run: LiveRun) -> None:
        """Replace the file.

        Raises:
            OSError: there is no room for it.
        """
        make_directory(self._path.parent)
        new = self._path.with_suffix(".new")
        write_text(new, run.model_dump_json())
        new.replace(self._path)

    def remove(self) -> None:
        """Remove the file, and old files of runs that were killed."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            for path in self._path.parent.iterdir():
                if time.time() - path.stat().st_mtime > _FORGOTTEN_SECONDS:
                    path.unlink(missing_ok=True)


def live_runs(home: Path) -> Iterator[LiveRun]:
    """Yield the current runs, oldest first, without those that were killed."""
    runs = []
    for path in _directory(home).glob("*.json"):
        with suppress(OSError, ValidationError):
            run = LiveRun.model_validate_json(path.read_bytes())
            if run.is_running(time.time()):
                runs.append(run)
    yield from sorted(runs, key=lambda run: (run.started_at, run.pid))


def _directory(home: Path) -> Path:
    return home / "runs"
