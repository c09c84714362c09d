"""What may go, told alike for whatever it is: so that it can be shown before it is deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

DAY_SECONDS = 86_400.0


class Kind(StrEnum):
    """What it is, as a person reads it."""

    REPORTS = "reports of batches"
    LEFTOVERS = "leftovers of runs and servers"
    COPIES = "copies of documents of killed runs"
    INDEX = "outdated lines of documents.jsonl"
    COSTS = "old lines of machines.jsonl"
    RESULTS = "results whose document is gone"
    RUNS = "runs in Prefect"
    SWEEPS = "runs of the sweep in Prefect"
    API = "runs of the HTTP API"


@dataclass(frozen=True)
class Expired:
    """Something that may go.

    Attributes:
        count: of what its kind counts.
        bytes: that come free; None if that is not known.
        remove: deletes it, or returns False because somebody uses it by now.
    """

    kind: Kind
    count: int
    bytes: int | None
    remove: Callable[[], bool]


@dataclass(frozen=True)
class Tally:
    """How much of a kind has gone, or would go."""

    kind: Kind
    count: int
    bytes: int | None


def sweep(expired: Iterable[Expired], *, dry_run: bool) -> list[Tally]:
    """Delete what may go, or only count it, and return the sums, a row a kind."""
    sums: dict[Kind, Tally] = {}
    for each in expired:
        if not dry_run and not each.remove():
            continue
        before = sums.get(each.kind, Tally(each.kind, 0, 0))
        known = before.bytes is not None and each.bytes is not None
        sums[each.kind] = Tally(
            each.kind, before.count + each.count, (before.bytes or 0) + (each.bytes or 0) if known else None
        )
    return [sums[kind] for kind in Kind if kind in sums]


def age_of(path: Path, now: float) -> float:
    """Seconds since a file was written to; 0 if it is gone, so that it is not old."""
    try:
        return now - path.stat().st_mtime
    except OSError:
        return 0.0


def size_of(path: Path) -> int:
    """A file's bytes; 0 if it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def remove_files(*paths: Path) -> bool:
    """Delete files, and return True."""
    for path in paths:
        path.unlink(missing_ok=True)
    return True
