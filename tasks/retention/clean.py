"""Delete what may go of the files of this machine, by the settings of retention."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from tasks.core.errors import HearthError
from tasks.core.paths import StoragePath
from tasks.retention.batch_files import expired_parts, expired_reports
from tasks.retention.expired import Expired, Tally, sweep
from tasks.retention.home_files import expired_copies, expired_ledgers, expired_logs
from tasks.retention.journals import expired_costs, outdated_index
from tasks.retention.results import expired_results
from tasks.settings.settings import Settings


def expired_files(settings: Settings, output: StoragePath, now: float) -> Iterator[Expired]:
    """What may go of HEARTH_HOME and of one directory of results.

    Of results under s3:// these are lines of the files that runs add to; the rest is the bucket's lifecycle rules'.

    Raises:
        OutputError: the results cannot be read.
    """
    retention, home = settings.retention, settings.home
    everywhere = chain(outdated_index(output), expired_costs(output, retention, now))
    here = chain(
        expired_copies(home, now), expired_ledgers(home, retention, now), expired_logs(home, retention, now), everywhere
    )
    if not isinstance(output, Path):
        return here
    below = (expired(output, retention, now) for expired in (expired_reports, expired_parts, expired_results))
    return chain(here, *below)


def clean_files(settings: Settings, output: StoragePath) -> list[Tally]:
    """Delete what may go; what cannot be deleted stays, and is nobody's trouble before it is asked for."""
    with suppress(HearthError, OSError):
        return sweep(expired_files(settings, output, time.time()), dry_run=False)
    return []
