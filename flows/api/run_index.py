"""An index of the runs, for the list and for finding runs that share a document or results.

The records are authoritative: the index is created from them, and updated when a backend starts.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, Self
from uuid import UUID

from flows.api.records import Record, read_model
from tasks.core.errors import InputError, StorageError

_NAME = ".index.sqlite"
_LOCKED_SECONDS = 10.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests
    (id TEXT PRIMARY KEY, created INTEGER, sha256 TEXT, place TEXT, parent TEXT, output TEXT);
CREATE INDEX IF NOT EXISTS newest_requests ON requests (created, id);
CREATE INDEX IF NOT EXISTS documents_of_requests ON requests (sha256);
CREATE INDEX IF NOT EXISTS places_of_requests ON requests (place, created, id);
"""


class Position(NamedTuple):
    """A run's position in the list: its creation time, microseconds since the epoch, and its id."""

    created: int
    id: UUID

    def __str__(self) -> str:
        return f"{self.created:x}-{self.id.hex}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse what `str` returned; raise InputError if the text has another format."""
        created, _, identity = text.partition("-")
        try:
            position = cls(int(created, 16), UUID(identity))
        except ValueError:
            position = None
        if position is None or str(position) != text or position.created >= 2**63:
            raise InputError("The cursor is not from this list. Use `next` of the previous page, or leave it out.")
        return position


class Shared(NamedTuple):
    """Whether other runs use the document, the results, or the parent directory of the results of a run."""

    document: bool
    results: bool
    parent: bool


class RunIndex:
    """A SQLite file in the directory of the records, which several backends may share.

    Raises:
        StorageError: the file cannot be read or written.
    """

    def __init__(self, records: Path) -> None:
        self._records = records
        self._path = records / _NAME
        try:
            self._begin()
        except sqlite3.OperationalError as error:
            raise _unusable(self._path, error) from None
        except sqlite3.DatabaseError:
            self._path.unlink(missing_ok=True)  # it is damaged, and is created again from the records
            self._begin()

    def add(self, record: Record) -> None:
        """Add a run, or update it."""
        with self._open() as database:
            self._add(database, record)

    def remove(self, run: UUID) -> None:
        """Remove a run."""
        with self._open() as database:
            database.execute("DELETE FROM requests WHERE id = ?", (str(run),))

    def after(self, position: Position | None, most: int) -> list[Position]:
        """Return the runs after a position, or the first ones, newest first."""
        before = position or Position(2**63 - 1, UUID(int=2**128 - 1))
        with self._open() as database:
            rows = database.execute(
                "SELECT created, id FROM requests WHERE (created, id) < (?, ?) ORDER BY created DESC, id DESC LIMIT ?",
                (before.created, str(before.id), most),
            )
            return [Position(created, UUID(identity)) for created, identity in rows]

    def latest(self, place: str) -> Record | None:
        """Return the newest run whose results are in a folder below `results`: that of an equal request."""
        with self._open() as database:
            rows = database.execute("SELECT id FROM requests WHERE place = ? ORDER BY created DESC, id DESC", (place,))
            return next((record for (run,) in rows if (record := self.record(run)) is not None), None)

    def shared(self, record: Record) -> Shared:
        """Return what a run shares with others."""
        with self._open() as database:
            rows = database.execute(
                "SELECT id, sha256, output FROM requests WHERE id <> ? AND (sha256 = ? OR place = ?)",
                (str(record.id), record.sha256, self._place(record)),
            )
            others = [(sha256, Path(output)) for run, sha256, output in rows if self.path(run).exists()]
        return Shared(
            document=any(sha256 == record.sha256 for sha256, _ in others),
            results=any(output == record.output for _, output in others),
            parent=any(record.output.parent in output.parents for _, output in others),
        )

    def path(self, run: UUID | str) -> Path:
        """Return the path of a run's record."""
        return self._records / f"{run}.json"

    def record(self, run: UUID | str) -> Record | None:
        """Read the record of a run; None if there is none."""
        return read_model(self.path(run), Record)

    def _begin(self) -> None:
        with closing(sqlite3.connect(self._path, timeout=_LOCKED_SECONDS)) as database, database:
            database.executescript(_SCHEMA)
            indexed = {run for (run,) in database.execute("SELECT id FROM requests")}
            stored = {path.stem for path in self._records.glob("*.json")}
            database.executemany("DELETE FROM requests WHERE id = ?", [(run,) for run in indexed - stored])
            for run in stored - indexed:
                if (record := self.record(run)) is not None:
                    self._add(database, record)

    def _add(self, database: sqlite3.Connection, record: Record) -> None:
        created = int(record.created.timestamp() * 1_000_000)
        where = (self._place(record), str(record.output.parent), str(record.output))
        values = (str(record.id), created, record.sha256, *where)
        database.execute("INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?, ?)", values)

    def _place(self, record: Record) -> str:
        try:
            return record.output.relative_to(self._records.parent / "results").parts[0]
        except (ValueError, IndexError):
            return str(record.output.parent)  # not below `results`

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=_LOCKED_SECONDS)) as database, database:
                yield database
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from None


def _unusable(path: Path, error: sqlite3.Error) -> StorageError:
    return StorageError(f"{path} cannot be used: {error}. Fix the directory, or try again later.")
