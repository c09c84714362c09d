"""The ledger of a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.slots.store import FileStore


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore.of(tmp_path, "http://127.0.0.1:11434")
