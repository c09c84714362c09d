"""The machine's totals, and the files of its current runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.core.errors import StorageError
from tasks.metrics import names
from tasks.metrics.live import LiveFile
from tasks.metrics.totals import TotalsSink, read_totals
from tests.support.commands import ROOT
from tests.support.metrics.runs import live_run
from tests.support.waiting import PATIENCE
from tests.unit.tasks.metrics.measured_pages import WHOSE, some_pages

# The machine's totals


def test_totals_continue_from_run_to_run_without_gauges(tmp_path: Path):
    for _ in range(2):
        sink = TotalsSink(tmp_path, WHOSE)
        aggregate = some_pages()
        sink.publish(aggregate.snapshot())
        aggregate.add(names.PAGES, label="read")
        sink.publish(aggregate.snapshot())
        sink.publish(aggregate.snapshot())
    total = read_totals(tmp_path)[WHOSE]
    assert total.counts["Pages", "read"] == 8
    assert total.values["PageSeconds", ""] == {1.0: 2, 2.0: 2, 3.0: 2}
    assert not [name for name, _ in total.values if name == "PagesInFlight"]


def test_parallel_runs_lose_no_counts(tmp_path: Path):
    program = (
        "import sys; from pathlib import Path; from tasks.metrics.aggregate import Aggregate;"
        "from tasks.metrics.totals import TotalsSink; from tasks.metrics import names;"
        "a = Aggregate(); s = TotalsSink(Path(sys.argv[1]), ('p', 'm'));"
        "[(a.add(names.PAGES, label='read'), s.publish(a.snapshot())) for _ in range(100)]"
    )
    runs = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT) for _ in range(3)]
    assert [run.wait(PATIENCE) for run in runs] == [0, 0, 0]
    assert read_totals(tmp_path)["p", "m"].counts["Pages", "read"] == 300


@pytest.mark.parametrize("rubbish", [b"", b"{}", b"[1]", b'{"totals": [{"pool": 1}]}', b"\xff"])
def test_damaged_totals_start_again(tmp_path: Path, rubbish: bytes):
    (tmp_path / "metrics.json").write_bytes(rubbish)
    TotalsSink(tmp_path, WHOSE).publish(some_pages().snapshot())
    assert read_totals(tmp_path)[WHOSE].counts["Pages", "read"] == 3


def test_totals_that_could_not_be_written_are_added_the_next_time(tmp_path: Path):
    home = tmp_path / "home"
    home.write_text("a file where a directory should be")
    sink = TotalsSink(home, WHOSE)
    with pytest.raises(StorageError):
        sink.publish(some_pages().snapshot())
    home.unlink()
    sink.publish(some_pages().snapshot())
    assert read_totals(home)[WHOSE].counts["Pages", "read"] == 3


# Live files


def test_a_killed_run_is_not_running(tmp_path: Path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert live_run().is_running(time.time())
    assert not live_run(pid=gone.pid).is_running(time.time())
    assert not live_run(at=time.time() - 60).is_running(time.time())
    assert live_run(pid=gone.pid, host="elsewhere").is_running(time.time())


def test_the_end_of_a_run_removes_its_file_and_those_of_killed_runs(tmp_path: Path):
    old = tmp_path / "runs" / "1-killed.json"
    old.parent.mkdir()
    old.write_text("{}")
    os.utime(old, (1, 1))
    file = LiveFile(tmp_path)
    file.write(live_run())
    file.remove()
    assert not list((tmp_path / "runs").iterdir())
