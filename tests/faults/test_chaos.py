"""A dozen documents through faults of all kinds; hundreds: `python -m tests.benchmarks.chaos`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks import chaos_judge
from tests.benchmarks.chaos import Chaos, run
from tests.benchmarks.chaos_plan import BlowKind, schedule
from tests.benchmarks.chaos_prefect import Prefect, prefect_server
from tests.faults.wire_faults import Kind

ONCE_FAILED = [(2, 10)]
"""Seed and document."""


@pytest.fixture(scope="module")
def prefect_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """A server of its own: it is stopped for seconds, and no idle clock of another test ends it."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as server:
        yield server


@pytest.mark.long("reads twelve documents under faults")
@pytest.mark.timeout(1800)
def test_twelve_documents_are_read_despite_faults(prefect_process: Prefect, tmp_path: Path):
    outcome = run(Chaos(seed=2, numbers=tuple(range(1, 13))), tmp_path, prefect_process)
    assert outcome.wrong == {}
    assert outcome.faults.total() > 20
    assert outcome.blows.total() > 1
    assert outcome.pages_at_once > 1


@pytest.mark.long("reads a document under faults")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("seed", "document"), ONCE_FAILED)
def test_schedules_that_once_failed_pass(prefect_process: Prefect, tmp_path: Path, seed: int, document: int):
    assert run(Chaos(seed, (document,)), tmp_path, prefect_process).wrong == {}


def test_a_schedule_is_reproducible():
    assert schedule(1, 7) == schedule(1, 7) != schedule(2, 7)
    assert {page.document for page in schedule(1, 7).faults} == {7}


def test_five_hundred_documents_meet_every_kind_of_fault():
    schedules = [schedule(1, number) for number in range(1, 501)]
    faults = [fault.kind for each in schedules for of in each.faults.values() for fault in of]
    blows = [blow.kind for each in schedules for blow in each.blows]
    assert min(faults.count(kind) for kind in Kind) > 50
    assert min(blows.count(kind) for kind in BlowKind) > 10
    assert len(faults) / len(schedules) > 3


def test_excluded_kinds_are_not_in_the_schedule():
    all_but_one = [kind for kind in Kind if kind is not Kind.BUSY]
    kept = {
        fault.kind for number in range(9) for of in schedule(1, number, all_but_one).faults.values() for fault in of
    }
    assert kept == {Kind.BUSY}


def test_a_leftover_process_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(chaos_judge, "GOING_S", 0.3)
    assert list(chaos_judge.left_over(tmp_path)) == []
    environment = {**os.environ, "HEARTH_HOME": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=environment) as process:
        try:
            assert list(chaos_judge.left_over(tmp_path))
        finally:
            process.kill()
