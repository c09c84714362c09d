"""When a run began: its first start, whatever interrupted it since."""

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
def test_a_run_that_was_interrupted_began_when_it_first_did(run_count: int):
    with in_run(run_count, FIRST):
        assert run_began() == FIRST


def test_so_it_is_after_a_pause_which_prefect_does_not_count_as_a_try():
    with in_run(1, FIRST, timedelta(seconds=4)):
        assert run_began() == FIRST


def test_the_first_time_this_machines_clock_counts_by_which_pages_are_stored():
    with in_run(1, FIRST):
        assert datetime.now(UTC) - run_began() < timedelta(minutes=1)


def test_what_is_no_run_begins_now():
    assert datetime.now(UTC) - run_began() < timedelta(minutes=1)
