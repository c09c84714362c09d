"""Results that a person has asked to keep for a while only. Where the document is still there, they stay."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tasks.core.errors import CloudError
from tasks.core.paths import StoragePath
from tasks.results.store import ResultStore
from tasks.retention.expired import DAY_SECONDS, Expired, Kind, age_of, size_of
from tasks.settings.retention import RetentionSettings
from tasks.storage.file_locks import try_exclusive


def expired_results(output: Path, retention: RetentionSettings, now: float) -> Iterator[Expired]:
    """Results that are older than they are kept, and whose document is gone: a batch would read it, and pay, again."""
    if retention.results_days is None:
        return
    oldest = retention.results_days * DAY_SECONDS
    for path in output.glob("*/manifest.json"):
        if age_of(path, now) <= oldest:
            continue
        manifest = ResultStore(path.parent).manifest()
        if manifest is not None and not _is_there(manifest.document.path):
            yield Expired(Kind.RESULTS, 1, size_below(path.parent), partial(remove_results, path.parent))


def size_below(directory: Path) -> int:
    """Bytes of all files below a directory."""
    return sum(size_of(path) for path in directory.rglob("*"))


def remove_results(directory: Path) -> bool:
    """Delete a document's results; False if a run reads it just now."""
    lease = try_exclusive(directory / ".lock")
    if lease is None:
        return False
    try:
        shutil.rmtree(directory, ignore_errors=True)
        _forget_name(directory)
    finally:
        lease.release()
    return True


def _forget_name(directory: Path) -> None:
    """Remove what is kept for documents of the same bytes, if this was the last of them."""
    digits = directory.name.rpartition("-")[2]
    if not any(directory.parent.glob(f"*-{digits}")):
        shutil.rmtree(directory.parent / ".by-content" / digits, ignore_errors=True)


def _is_there(document: StoragePath) -> bool:
    if isinstance(document, Path):
        return document.exists()
    from tasks.storage import s3_client as objects

    try:
        return objects.head(document) is not None
    except CloudError:
        return True  # as long as nobody can tell
