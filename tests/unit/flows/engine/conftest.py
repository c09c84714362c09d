"""The work of a run, and what Prefect is shown of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prefect.logging import disable_run_logger

import flows.engine.pages
import flows.ui.artifacts
from tasks.core.aio import WorkLoop
from tests.unit.flows.engine.page_runs import Shown


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch):
    shown = Shown()
    monkeypatch.setattr(flows.engine.pages, "read_block", shown.block)
    monkeypatch.setattr(flows.engine.pages, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(flows.ui.artifacts, "acreate_table_artifact", shown.table)
    with disable_run_logger():
        yield shown


@pytest.fixture
async def work() -> AsyncIterator[WorkLoop]:
    async with WorkLoop() as work:
        yield work
