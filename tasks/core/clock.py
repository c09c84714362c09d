"""Clocks that are independent of steps of the wall clock and go on while the machine is suspended.

`elapsed` counts on one machine. The processes of one machine agree on the time of a `MachineClock`; all clients of a
service agree on that of a `ServerClock`. Both count seconds since the epoch, so that records of versions that used the
wall clock keep their meaning. Where a system has no CLOCK_BOOTTIME (all but Linux), the wall clock is used.
"""

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
    """Return this machine's monotonic seconds, including those in which it was suspended (Linux)."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


def boot_id() -> str | None:
    """Return the identifier of the machine's current boot; None if the system has none."""
    try:
        return _BOOT_ID.read_text().strip() or None
    except OSError:
        return None


class MachineClock:
    """The common time of a machine's processes: the wall clock as the first of them read it.

    The directory holds a file for each boot of the machine.
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
        """Return the common start of `elapsed`, in seconds since the epoch; None if there is none."""
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
                    os.link(mine, path)  # atomic, and keeps the first process's file
                except FileExistsError:
                    pass
                finally:
                    mine.unlink()
            return float(path.read_text())
        return None


class ServerClock:
    """A service's time, from the Date headers of its responses: the same for all clients, whatever their clocks say.

    It equals the wall clock for as long as that agrees with the headers, which are exact to a second.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bounds: tuple[float, float] | None = None
        self._epoch = time.time() - elapsed()

    def note(self, date: str, sent: float, received: float) -> None:
        """Take a response's Date header into account unless it is invalid. `sent` and `received` are by `elapsed`."""
        try:
            stamp = parsedate_to_datetime(date).timestamp()
        except (ValueError, TypeError, OverflowError):
            return
        # The header was written between the two; its fraction of a second is cut off.
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
