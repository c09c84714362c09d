"""The start of a run is its first start, whatever has interrupted it since."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from flows.orchestrator import pausing
from flows.orchestrator.pausing import run_began

FIRST = datetime(2026, 11, 1, tzinfo=UTC)


@contextmanager
def in_run(run_count: int, start_time: datetime | None, ran: timedelta = timedelta(0)) -> Iterator[None]:
    run = SimpleNamespace(run_count=run_count, start_time=start_time, total_run_time=ran)
    with patch.object(pausing, "FlowRunContext", SimpleNamespace(get=lambda: SimpleNamespace(flow_run=run))):
        yield


@pytest.mark.parametrize("run_count", [2, 5])
def test_an_interrupted_run_keeps_its_first_start(run_count: int):
    with in_run(run_count, FIRST):
        assert run_began() == FIRST


def test_a_paused_run_keeps_its_first_start():
    with in_run(1, FIRST, timedelta(seconds=4)):
        assert run_began() == FIRST


def test_the_first_start_is_by_this_machines_clock():
    with in_run(1, FIRST):
        assert datetime.now(UTC) - run_began() < timedelta(minutes=1)


def test_without_a_run_the_start_is_now():
    assert datetime.now(UTC) - run_began() < timedelta(minutes=1)
