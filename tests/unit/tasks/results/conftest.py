"""A store that is prepared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.results.store import ResultStore


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    store = ResultStore(tmp_path / "results" / "paper-aaaaaaaaaaaa")
    store.prepare()
    return store
