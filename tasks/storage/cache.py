"""What was read from S3 or written there, so that it is not asked for again while it is the same."""

from __future__ import annotations

import sqlite3
import threading


class ObjectCache:
    """Small objects by name and ETag, in a file of SQLite's that has no name and goes with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._database.execute("CREATE TABLE kept (name TEXT PRIMARY KEY, etag TEXT, body BLOB) WITHOUT ROWID")

    def get(self, name: str, etag: str) -> bytes | None:
        """An object as it is now, by its ETag; None if it is not kept."""
        with self._lock:
            query = "SELECT body FROM kept WHERE name = ? AND etag = ?"
            found = self._database.execute(query, (name, etag)).fetchone()
        return found[0] if found else None

    def put(self, name: str, etag: str, body: bytes) -> None:
        """Keep an object, instead of what it was before."""
        with self._lock:
            self._database.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (name, etag, body))

    def __del__(self) -> None:
        self._database.close()
