"""What the tests of the HTTP API share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flows.api.settings import ApiSettings
from tests.support import pdfs
from tests.unit.flows.api.application import Application, application


@pytest.fixture(scope="module", autouse=True)
def documents(one_sandbox: None) -> None:
    """Nothing here is about the process that opens documents."""


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Application]:
    async with application(tmp_path) as api:
        yield api


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("queue.POLL_SECONDS", "queue.LONGEST_PAUSE", "queue.REFUSED_SECONDS"):
        monkeypatch.setattr(f"flows.api.{name}", 0.01)
    monkeypatch.setattr("flows.api.prefect_state.RETRY_SECONDS", 0.001)
    monkeypatch.setattr("flows.api.followed.STATE_SECONDS", 0.0)
    monkeypatch.setattr("flows.api.service.STATE_SECONDS", 0.05)


@pytest.fixture
def kept(tmp_path: Path) -> ApiSettings:
    return ApiSettings(directory=tmp_path / "api", prefect_seconds=0.5)


@pytest.fixture
def pdf(tmp_path: Path) -> bytes:
    return pdfs.written(tmp_path / "a.pdf", "One.").read_bytes()
