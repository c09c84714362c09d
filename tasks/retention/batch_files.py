"""Reports of batches, and what shared batches and nightly locks leave beside them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tasks.batches.one_at_a_time import FOLDER
from tasks.retention.expired import DAY_SECONDS, Expired, Kind, age_of, remove_files, size_of
from tasks.settings.retention import RetentionSettings
from tasks.storage.file_locks import remove_unheld

_NEWEST = 10
"""Reports that stay, however old they are."""
_REPORT_NAME = "[0-9]" * 8 + "T" + "[0-9]" * 6


def expired_reports(output: Path, retention: RetentionSettings, now: float) -> Iterator[Expired]:
    """Reports, each as Markdown and CSV, that are older than they are kept."""
    reports = sorted((output / "batches").glob(f"{_REPORT_NAME}.md"))
    for page in reports[:-_NEWEST]:
        if age_of(page, now) > retention.reports_days * DAY_SECONDS:
            table = page.with_suffix(".csv")
            yield Expired(Kind.REPORTS, 1, size_of(page) + size_of(table), partial(remove_files, page, table))


def expired_parts(output: Path, retention: RetentionSettings, now: float) -> Iterator[Expired]:
    """Parts of shared batches and their reports, and locks of nightly batches, that nobody uses any more."""
    oldest = retention.leftovers_days * DAY_SECONDS
    for part in (output / "batches").glob("*.json"):
        if age_of(part, now) > oldest:
            yield Expired(Kind.LEFTOVERS, 1, size_of(part), partial(remove_files, part))
    for lock in (output / FOLDER).glob("*/.lock"):
        if age_of(lock, now) > oldest:
            yield Expired(Kind.LEFTOVERS, 1, size_of(lock), partial(remove_unheld, lock))
