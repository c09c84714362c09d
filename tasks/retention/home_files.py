"""What is left below HEARTH_HOME of servers and runs that are no more."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tasks.backends.local.watchdog import ServerDirectory
from tasks.core.clock import boot_id
from tasks.retention.expired import DAY_SECONDS, Expired, Kind, age_of, remove_files, size_of
from tasks.settings.retention import RetentionSettings
from tasks.storage.file_locks import is_held, remove_unheld, try_exclusive

# No copy is older that is not locked yet: it is made and locked at once.
_COPY_SECONDS = 60.0


def expired_copies(home: Path, now: float) -> Iterator[Expired]:
    """Copies of documents whose run was killed."""
    for copy in (home / "copies").glob("*.pdf"):
        if age_of(copy, now) > _COPY_SECONDS and not _in_use(copy):
            yield Expired(Kind.COPIES, 1, size_of(copy), partial(remove_unheld, copy))


def expired_ledgers(home: Path, retention: RetentionSettings, now: float) -> Iterator[Expired]:
    """Ledgers of servers that nobody has read on for long, and clocks of earlier starts of the machine."""
    oldest = retention.leftovers_days * DAY_SECONDS
    for ledger in (home / "slots").glob("*.json"):
        if age_of(ledger, now) > oldest:
            lock = ledger.with_suffix(".lock")
            yield Expired(Kind.LEFTOVERS, 1, size_of(ledger), partial(_remove_ledger, ledger, lock, oldest, now))
    for clock in (home / "slots").glob("clock-*"):
        if age_of(clock, now) > oldest and clock.name != f"clock-{boot_id()}":
            yield Expired(Kind.LEFTOVERS, 1, size_of(clock), partial(remove_files, clock))


def expired_logs(home: Path, retention: RetentionSettings, now: float) -> Iterator[Expired]:
    """Logs of servers that ended long ago; their locks stay, which runs may be about to take."""
    for path in (home / "servers").glob("*"):
        directory = ServerDirectory(path)
        for log in (directory.log, directory.last_log):
            if age_of(log, now) > retention.leftovers_days * DAY_SECONDS and not is_held(directory.alive):
                yield Expired(Kind.LEFTOVERS, 1, size_of(log), partial(_remove_log, directory, log))


def _remove_ledger(ledger: Path, lock: Path, oldest: float, now: float) -> bool:
    lease = try_exclusive(lock)
    if lease is None:
        return False
    try:
        if age_of(ledger, now) <= oldest:  # somebody came meanwhile
            return False
        return remove_files(ledger, lock)
    finally:
        lease.release()


def _remove_log(directory: ServerDirectory, log: Path) -> bool:
    lease = try_exclusive(directory.start)
    if lease is None:
        return False
    try:
        return not is_held(directory.alive) and remove_files(log)
    finally:
        lease.release()


def _in_use(path: Path) -> bool:
    lease = try_exclusive(path)
    if lease is None:
        return True
    lease.release()
    return False
