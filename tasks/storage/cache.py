"""A cache of objects that were read from S3, so that each is fetched once as long as it does not change."""

import sqlite3
import threading


class ObjectCache:
    """Small objects by name and ETag, in an unnamed SQLite file that ends with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._database.execute("CREATE TABLE cached (name TEXT PRIMARY KEY, etag TEXT, body BLOB) WITHOUT ROWID")

    def get(self, name: str, etag: str) -> bytes | None:
        """Return an object's content if this version of it is cached."""
        with self._lock:
            query = "SELECT body FROM cached WHERE name = ? AND etag = ?"
            row = self._database.execute(query, (name, etag)).fetchone()
        return row[0] if row else None

    def put(self, name: str, etag: str, body: bytes) -> None:
        """Cache an object in place of its previous version."""
        with self._lock:
            self._database.execute("INSERT OR REPLACE INTO cached VALUES (?, ?, ?)", (name, etag, body))

    def __del__(self) -> None:
        self._database.close()
