"""Expired files of this machine: leftovers in HEARTH_HOME, and reports, batches and results below the results."""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tasks.backends.local.watchdog import ServerDirectory
from tasks.batches.one_at_a_time import FOLDER
from tasks.core.clock import boot_id
from tasks.core.errors import CloudError
from tasks.core.file_locks import is_held, remove_unheld, try_exclusive
from tasks.core.paths import StoragePath
from tasks.results.store import ResultStore
from tasks.retention.expired import DAY_SECONDS, Expired, Kind, age_of, remove_files, size_of
from tasks.settings.retention import RetentionSettings

# An older copy that is not locked belongs to a killed run: a copy is locked as soon as it is made.
_COPY_SECONDS = 60.0
_NEWEST = 10
"""Reports that are kept, however old they are."""
_REPORT_NAME = "[0-9]" * 8 + "T" + "[0-9]" * 6


def expired_copies(home: Path, now: float) -> Iterator[Expired]:
    """Yield copies of documents whose run was killed."""
    for copy in (home / "copies").glob("*.pdf"):
        if age_of(copy, now) > _COPY_SECONDS and _with_lock(copy, lambda: True):
            yield Expired(Kind.COPIES, 1, size_of(copy), partial(remove_unheld, copy))


def expired_ledgers(home: Path, retention: RetentionSettings, now: float) -> Iterator[Expired]:
    """Yield ledgers of servers that were not used for long, and clock files of earlier boots of the machine."""
    oldest = retention.leftovers_days * DAY_SECONDS
    for ledger in (home / "slots").glob("*.json"):
        if age_of(ledger, now) > oldest:
            lock = ledger.with_suffix(".lock")
            remove = partial(_remove_ledger, ledger, lock, oldest, now)
            yield Expired(Kind.LEFTOVERS, 1, size_of(ledger), partial(_with_lock, lock, remove))
    for clock in (home / "slots").glob("clock-*"):
        if age_of(clock, now) > oldest and clock.name != f"clock-{boot_id()}":
            yield Expired(Kind.LEFTOVERS, 1, size_of(clock), partial(remove_files, clock))


def _remove_ledger(ledger: Path, lock: Path, oldest: float, now: float) -> bool:
    return age_of(ledger, now) > oldest and remove_files(ledger, lock)  # unless a run has used it meanwhile


def expired_logs(home: Path, retention: RetentionSettings, now: float) -> Iterator[Expired]:
    """Yield logs of servers that ended long ago. Their locks stay, since runs may be about to take them."""
    for path in (home / "servers").glob("*"):
        directory = ServerDirectory(path)
        for log in (directory.log, directory.last_log):
            if age_of(log, now) > retention.leftovers_days * DAY_SECONDS and not is_held(directory.alive):
                remove = partial(_remove_log, directory, log)
                yield Expired(Kind.LEFTOVERS, 1, size_of(log), partial(_with_lock, directory.start, remove))


def _remove_log(directory: ServerDirectory, log: Path) -> bool:
    return not is_held(directory.alive) and remove_files(log)


def expired_reports(output: Path, retention: RetentionSettings, now: float) -> Iterator[Expired]:
    """Yield old reports of batches, each as Markdown and CSV."""
    reports = sorted((output / "batches").glob(f"{_REPORT_NAME}.md"))
    for page in reports[:-_NEWEST]:
        if age_of(page, now) > retention.reports_days * DAY_SECONDS:
            table = page.with_suffix(".csv")
            yield Expired(Kind.REPORTS, 1, size_of(page) + size_of(table), partial(remove_files, page, table))


def expired_shards(output: Path, retention: RetentionSettings, now: float) -> Iterator[Expired]:
    """Yield shards of old batches with their reports, and locks of old nightly batches."""
    oldest = retention.leftovers_days * DAY_SECONDS
    for shard in (output / "batches").glob("*.json"):
        if age_of(shard, now) > oldest:
            yield Expired(Kind.LEFTOVERS, 1, size_of(shard), partial(remove_files, shard))
    for lock in (output / FOLDER).glob("*/.lock"):
        if age_of(lock, now) > oldest:
            yield Expired(Kind.LEFTOVERS, 1, size_of(lock), partial(remove_unheld, lock))


def expired_results(output: Path, retention: RetentionSettings, now: float) -> Iterator[Expired]:
    """Yield old results whose document is gone. As long as it exists, a batch would read it, and pay, again."""
    if retention.results_days is None:
        return
    oldest = retention.results_days * DAY_SECONDS
    for path in output.glob("*/manifest.json"):
        if age_of(path, now) <= oldest:
            continue
        manifest = ResultStore(path.parent).manifest()
        if manifest is not None and not _exists(manifest.document.path):
            yield Expired(Kind.RESULTS, 1, size_below(path.parent), partial(remove_results, path.parent))


def size_below(directory: Path) -> int:
    """Return the bytes of all files below a directory."""
    return sum(size_of(path) for path in directory.rglob("*"))


def remove_results(directory: Path) -> bool:
    """Delete a document's results; return False if a run is reading it."""
    return _with_lock(directory / ".lock", partial(_remove_results, directory))


def _remove_results(directory: Path) -> bool:
    shutil.rmtree(directory, ignore_errors=True)
    digits = directory.name.rpartition("-")[2]
    if not any(directory.parent.glob(f"*-{digits}")):  # these were the last results of documents with the same bytes
        shutil.rmtree(directory.parent / ".by-content" / digits, ignore_errors=True)
    return True


def _with_lock(path: Path, remove: Callable[[], bool]) -> bool:
    """Call a function under a lock; return False if somebody holds it."""
    lock = try_exclusive(path)
    if lock is None:
        return False
    with lock:
        return remove()


def _exists(document: StoragePath) -> bool:
    if isinstance(document, Path):
        return document.exists()
    from tasks.storage import s3_client

    try:
        return s3_client.head(document) is not None
    except CloudError:
        return True  # until it is known to be gone
