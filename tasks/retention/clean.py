"""Deletion of expired files, by the settings of retention."""

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from tasks.core.errors import HearthError
from tasks.core.paths import StoragePath
from tasks.retention.expired import Expired, Tally, sweep
from tasks.retention.jsonl import expired_costs, outdated_index
from tasks.retention.local_files import (
    expired_copies,
    expired_ledgers,
    expired_logs,
    expired_reports,
    expired_results,
    expired_shards,
)
from tasks.settings.settings import Settings


def expired_files(settings: Settings, output: StoragePath, now: float) -> Iterator[Expired]:
    """Yield what has expired in HEARTH_HOME and in one directory of results.

    Of results under s3:// these are lines of files that runs append to; the rest is up to the bucket's lifecycle rules.

    Raises:
        OutputError: the results cannot be read.
    """
    retention, home = settings.retention, settings.home
    lines = chain(outdated_index(output), expired_costs(output, retention, now))
    ledgers, logs = expired_ledgers(home, retention, now), expired_logs(home, retention, now)
    here = chain(expired_copies(home, now), ledgers, logs, lines)
    if not isinstance(output, Path):
        return here
    below = (expired(output, retention, now) for expired in (expired_reports, expired_shards, expired_results))
    return chain(here, *below)


def clean_files(settings: Settings, output: StoragePath) -> list[Tally]:
    """Delete what has expired; errors are not reported, and what cannot be deleted stays."""
    with suppress(HearthError, OSError):
        return sweep(expired_files(settings, output, time.time()), dry_run=False)
    return []
