"""The totals of all runs of this machine, in one file: a short run ends before its numbers could be scraped."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tasks.core.errors import StorageError
from tasks.core.file_locks import take_exclusive
from tasks.core.private import make_directory, write_text
from tasks.metrics.aggregate import Snapshot
from tasks.metrics.names import BY_NAME, Kind

Whose = tuple[str, str]
"""A pool and a model."""
Totals = Mapping[Whose, Snapshot]


class TotalsSink:
    """See `Sink`. Adds the numbers of a run, by its pool and model, to the machine's totals."""

    def __init__(self, home: Path, whose: Whose) -> None:
        self.name = str(_file(home))
        self._home = home
        self._whose = whose
        self._added = Snapshot()

    def publish(self, snapshot: Snapshot) -> None:
        """See `Sink`. What cannot be written is added the next time."""
        new = _without_gauges(snapshot.since(self._added))
        with locked_totals(self._home) as totals:
            _write(self._home, {**totals, self._whose: totals.get(self._whose, Snapshot()).plus(new)})
        self._added = snapshot


@contextmanager
def locked_totals(home: Path) -> Iterator[Totals]:
    """Lock the totals against other processes while they are changed, or sent so that they never go back.

    Raises:
        StorageError: a file cannot be written.
    """
    try:
        make_directory(home, ours=False)
        with take_exclusive(_file(home).with_suffix(".lock")):
            yield read_totals(home)
    except OSError as error:
        raise StorageError(f"{error.filename or home} cannot be written ({error.strerror}).") from None


def read_totals(home: Path) -> Totals:
    """Read what was counted on this machine; nothing if the file is missing or another version's."""
    totals: dict[Whose, Snapshot] = {}
    with suppress(OSError, ValueError, TypeError, KeyError):
        for entry in json.loads(_file(home).read_bytes())["totals"]:
            counts = {(name, label): float(count) for name, label, count in entry["counts"] if name in BY_NAME}
            values = {
                (name, label): {float(value): int(count) for value, count in seen}
                for name, label, seen in entry["values"]
                if name in BY_NAME
            }
            totals[entry["pool"], entry["model"]] = Snapshot(counts, values)
    return totals


def _write(home: Path, totals: Totals) -> None:
    entries: list[dict[str, Any]] = [
        {
            "pool": pool,
            "model": model,
            "counts": [[*series, count] for series, count in total.counts.items()],
            "values": [[*series, sorted(seen.items())] for series, seen in total.values.items()],
        }
        for (pool, model), total in totals.items()
    ]
    new = _file(home).with_suffix(".new")
    write_text(new, json.dumps({"totals": entries}))
    new.replace(_file(home))


def _without_gauges(snapshot: Snapshot) -> Snapshot:
    """Leave out gauges, which mean nothing once their moment has passed."""
    values = {series: seen for series, seen in snapshot.values.items() if BY_NAME[series[0]].kind is not Kind.GAUGE}
    return Snapshot(snapshot.counts, values)


def _file(home: Path) -> Path:
    return home / "metrics.json"
