"""Expired files and runs in one shape, so that they can be shown before they are deleted."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

DAY_SECONDS = 86_400.0


class Kind(StrEnum):
    """A kind of expired things, in a person's words."""

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
    """Something that has expired.

    Attributes:
        bytes: the space that is freed; None if it is unknown.
        remove: deletes it, or returns False if it is in use again.
    """

    kind: Kind
    count: int
    bytes: int | None
    remove: Callable[[], bool]


@dataclass(frozen=True)
class Tally:
    """How much of a kind was deleted, or would be."""

    kind: Kind
    count: int
    bytes: int | None


def sweep(expired: Iterable[Expired], *, dry_run: bool) -> list[Tally]:
    """Delete what has expired, or only count it, and return the sums by kind."""
    sums: dict[Kind, Tally] = {}
    for item in expired:
        if not dry_run and not item.remove():
            continue
        before = sums.get(item.kind, Tally(item.kind, 0, 0))
        known = before.bytes is not None and item.bytes is not None
        sums[item.kind] = Tally(
            item.kind, before.count + item.count, (before.bytes or 0) + (item.bytes or 0) if known else None
        )
    return [sums[kind] for kind in Kind if kind in sums]


def age_of(path: Path, now: float) -> float:
    """Return the seconds since a file was written to; 0 if it is gone, so that it does not count as old."""
    try:
        return now - path.stat().st_mtime
    except OSError:
        return 0.0


def size_of(path: Path) -> int:
    """Return a file's bytes; 0 if it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def remove_files(*paths: Path) -> bool:
    """Delete files, and return True."""
    for path in paths:
        path.unlink(missing_ok=True)
    return True
