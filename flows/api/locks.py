"""The locks of an API_DIRECTORY, by a document's sha256. Several documents share one, so that they stay few."""

from __future__ import annotations

from pathlib import Path

from tasks.core.private import make_directory


class Locks:
    """Where they are.

    Args:
        directory: API_DIRECTORY.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "locks"
        make_directory(self._directory)

    def of_document(self, sha256: str) -> Path:
        """Held with others by who posts a document, and alone by who deletes what is kept of it."""
        return self._directory / sha256[:3]

    def of_requests(self, sha256: str) -> Path:
        """Held alone, for a moment, by who changes what is remembered or queued of requests for a document."""
        return self._directory / f"{sha256[:3]}.requests"
