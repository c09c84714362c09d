"""Clocks that a step of the wall clock does not move, and that a suspended machine does not stop.

`elapsed` counts on one machine. `MachineClock` is the time that the processes of one machine agree on, `ServerClock`
that of a service which many machines ask. Both read as seconds since the epoch, so that records of versions that went
by the wall clock go on meaning what they did. Where a system has no CLOCK_BOOTTIME (all but Linux), the wall clock is
used.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from pathlib import Path

from tasks.core.private import make_directory, write_text

_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def elapsed() -> float:
    """Return seconds of this machine's own count, those in which it was suspended included (Linux)."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


def boot_id() -> str | None:
    """Return what tells this start of the machine from others; None if the system does not tell."""
    try:
        return _BOOT_ID.read_text().strip() or None
    except OSError:
        return None


class MachineClock:
    """The time of all processes of this machine that share a directory: the wall clock's as the first one found it.

    Args:
        directory: where they agree, in a file for each start of the machine.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._epoch: float | None = None

    def now(self) -> float:
        """Return seconds since the epoch."""
        if self._epoch is None:
            self._epoch = self._agreed()
        return time.time() if self._epoch is None else self._epoch + elapsed()

    def _agreed(self) -> float | None:
        """When the count began, in seconds since the epoch, as all say; None if they cannot agree."""
        boot = boot_id()
        if boot is None or _BOOTTIME is None:
            return None
        path = self._directory / f"clock-{boot}"
        with suppress(OSError, ValueError):
            if not path.exists():
                make_directory(self._directory)
                mine = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
                write_text(mine, f"{time.time() - elapsed():.6f}")
                try:
                    os.link(mine, path)  # whole or not at all, and the first one's stays
                except FileExistsError:
                    pass
                finally:
                    mine.unlink()
            return float(path.read_text())
        return None


class ServerClock:
    """A service's time, from the Date headers of its answers: the same for all who ask it, whatever their clocks say.

    It is the wall clock's time for as long as that agrees with the answers, which tell it to a second.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bounds: tuple[float, float] | None = None
        self._epoch = time.time() - elapsed()

    def note(self, date: str, sent: float, received: float) -> None:
        """Take an answer into account.

        Args:
            date: its Date header; one that makes no sense is passed over.
            sent: when the request was, by `elapsed`.
            received: when the answer was.
        """
        try:
            stamp = parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        # It was written between the two, in a second that is cut off.
        bounds = (stamp - received, stamp + 1 - sent)
        with self._lock:
            if self._bounds is not None:
                both = (max(self._bounds[0], bounds[0]), min(self._bounds[1], bounds[1]))
                bounds = both if both[0] < both[1] else bounds
            self._bounds = bounds
            self._epoch = min(max(time.time() - elapsed(), bounds[0]), bounds[1])

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._epoch + elapsed()
