"""What all runs of this machine have counted, in one file: a short run is over before anybody could scrape it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from tasks.core.errors import StorageError
from tasks.core.private import make_directory, write_text
from tasks.metrics.aggregate import Series, Snapshot
from tasks.metrics.names import BY_NAME, Kind
from tasks.storage.file_locks import take_exclusive

Whose = tuple[str, str]
"""A pool and a model."""
Totals = Mapping[Whose, Snapshot]


class Reader(Protocol):
    """Who is told the totals whenever they change."""

    def publish(self, totals: Totals) -> None:
        """Send them, or write them down.

        Raises:
            HearthError: it cannot be done.
        """
        ...


class TotalsSink:
    """See `Sink`: adds what a run has counted to the machine's totals, and passes those on.

    Args:
        home: where they are kept.
        whose: the run's pool and model.
        readers: are told them.
    """

    def __init__(self, home: Path, whose: Whose, readers: Sequence[Reader] = ()) -> None:
        self.name = f"{_file(home)} and what reads it" if readers else str(_file(home))
        self._home = home
        self._whose = whose
        self._readers = readers
        self._added = Snapshot()

    def publish(self, snapshot: Snapshot) -> None:
        """See `Sink`.

        Raises:
            StorageError: there is no room for them.
        """
        new = _lasting(snapshot.since(self._added))
        try:
            make_directory(_file(self._home).parent, ours=False)
            turn = take_exclusive(_file(self._home).with_suffix(".lock"))
            try:
                totals = dict(read_totals(self._home))
                totals[self._whose] = totals.get(self._whose, Snapshot()).plus(new)
                _write(self._home, totals)
                self._added = snapshot
                for reader in self._readers:  # while it is our turn: what they are told never goes back
                    reader.publish(totals)
            finally:
                turn.release()
        except OSError as error:
            raise StorageError(f"{error.filename or self._home} cannot be written ({error.strerror}).") from None


def read_totals(home: Path) -> Totals:
    """All that was counted on this machine; nothing if the file is missing or another version's."""
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


def _lasting(snapshot: Snapshot) -> Snapshot:
    """Without gauges, which mean nothing when their moment is over."""
    values = {series: seen for series, seen in snapshot.values.items() if _kind(series) is not Kind.GAUGE}
    return Snapshot(snapshot.counts, values)


def _kind(series: Series) -> Kind:
    return BY_NAME[series[0]].kind


def _file(home: Path) -> Path:
    return home / "metrics.json"
