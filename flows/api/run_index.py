"""Which runs there are, newest first, and which share a document or results, without looking at every record.

The records count: the index is made of them, and brought up to date with them when a backend starts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, Self
from uuid import UUID

from pydantic import ValidationError

from flows.api.records import Record
from tasks.core.errors import InputError, StorageError

_NAME = ".index.sqlite"
_LOCKED_SECONDS = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, created INTEGER, sha256 TEXT, parent TEXT, output TEXT);
CREATE INDEX IF NOT EXISTS newest ON runs (created, id);
CREATE INDEX IF NOT EXISTS documents ON runs (sha256);
CREATE INDEX IF NOT EXISTS results ON runs (parent);
"""


class Position(NamedTuple):
    """Of a run in the list: when it was made, in microseconds since the epoch, and its id."""

    created: int
    id: UUID

    def __str__(self) -> str:
        return f"{self.created:x}-{self.id.hex}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote.

        Raises:
            InputError: it did not.
        """
        created, _, identity = text.partition("-")
        try:
            position = cls(int(created, 16), UUID(identity))
        except ValueError:
            position = None
        if position is None or str(position) != text or position.created >= 2**63:
            raise InputError("The cursor is not one of this list's. Take that of the page before, or leave it out.")
        return position


class Shared(NamedTuple):
    """What other runs need of what belongs to one."""

    document: bool
    results: bool
    parent: bool


class RunIndex:
    """A SQLite file beside the records, which several backends may share.

    Args:
        records: the directory of the records; it exists.

    Raises:
        StorageError: it cannot be read or written.
    """

    def __init__(self, records: Path) -> None:
        self._records = records
        self._path = records / _NAME
        try:
            self._begin()
        except sqlite3.OperationalError as error:
            raise _told(self._path, error) from None
        except sqlite3.DatabaseError:
            self._path.unlink(missing_ok=True)  # it is damaged, and nothing is in it but what the records say
            self._begin()

    def add(self, record: Record) -> None:
        """Note a run, again or for the first time."""
        with self._open() as database:
            _add(database, record)

    def remove(self, run: UUID) -> None:
        """Forget one."""
        with self._open() as database:
            database.execute("DELETE FROM runs WHERE id = ?", (str(run),))

    def after(self, position: Position | None, most: int) -> list[Position]:
        """The runs that come after a position, or first, newest first."""
        before = position or Position(2**63 - 1, UUID(int=2**128 - 1))
        with self._open() as database:
            rows = database.execute(
                "SELECT created, id FROM runs WHERE (created, id) < (?, ?) ORDER BY created DESC, id DESC LIMIT ?",
                (before.created, str(before.id), most),
            )
            return [Position(created, UUID(identity)) for created, identity in rows]

    def shared(self, record: Record) -> Shared:
        """What runs beside this one need of its document, its results, and the directory that these are in."""
        parent, output = str(record.output.parent), str(record.output)
        with self._open() as database:

            def other(condition: str, *values: str) -> bool:
                query = f"SELECT 1 FROM runs WHERE id <> ? AND {condition} LIMIT 1"  # noqa: S608 - no value is in it
                return database.execute(query, (str(record.id), *values)).fetchone() is not None

            return Shared(
                document=other("sha256 = ?", record.sha256),
                results=other("parent = ? AND output = ?", parent, output),
                parent=other("parent = ?", parent),
            )

    def _begin(self) -> None:
        with closing(sqlite3.connect(self._path, timeout=_LOCKED_SECONDS)) as database, database:
            database.executescript(_SCHEMA)
            noted = {identity for (identity,) in database.execute("SELECT id FROM runs")}
            kept = {path.stem for path in self._records.glob("*.json")}
            for identity in noted - kept:
                database.execute("DELETE FROM runs WHERE id = ?", (identity,))
            for identity in kept - noted:
                record = read_record(self._records, identity)
                if record is not None:
                    _add(database, record)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=_LOCKED_SECONDS)) as database, database:
                yield database
        except sqlite3.Error as error:
            raise _told(self._path, error) from None


def read_record(records: Path, run: UUID | str) -> Record | None:
    """The record of a run; None if there is none."""
    try:
        return Record.model_validate_json((records / f"{run}.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _add(database: sqlite3.Connection, record: Record) -> None:
    created = int(record.created.timestamp() * 1_000_000)
    values = (str(record.id), created, record.sha256, str(record.output.parent), str(record.output))
    database.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?)", values)


def _told(path: Path, error: sqlite3.Error) -> StorageError:
    return StorageError(f"{path} cannot be used: {error}. Mend the directory, or ask again later.")
