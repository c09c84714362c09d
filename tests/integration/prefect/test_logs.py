"""`hearth logs`: a run's log from Prefect."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import pdfs
from tests.support.commands import Hearth, PrefectServer
from tests.support.waiting import until

pytestmark = pytest.mark.long("each test runs the command: 1 to 11 s")


@pytest.fixture
def run(hearth: Hearth, tmp_path: Path, prefect: PrefectServer) -> str:
    """The id of a run that has read a document."""
    outcome = hearth("read", pdfs.written(tmp_path / "logged.pdf", "One."))
    run = outcome.err.splitlines()[0].rpartition("/")[2]
    logs = {"logs": {"flow_run_id": {"any_": [run]}}}
    until(lambda: any("Finished" in line["message"] for line in prefect("logs", **logs)))
    return run


def test_a_run_is_found_by_id_by_name_and_by_last(hearth: Hearth, run: str):
    by_id, by_name, last = (hearth("logs", name) for name in (run, "logged, all pages", "last"))
    assert by_id.code == 0, by_id.err
    assert by_id.out == by_name.out == last.out
    assert "logged, all pages: Completed" in by_id.err


def test_each_line_has_a_time_and_a_level(hearth: Hearth, run: str):
    assert all(
        re.match(r"(\d\d:\d\d:\d\d (INFO|WARNING|ERROR|DEBUG) +| {18})", each)
        for each in hearth("logs", run).out.splitlines()
    )


def test_an_ended_run_is_followed_to_its_end(hearth: Hearth, run: str):
    assert hearth("logs", run, "--follow").out == hearth("logs", run).out


def test_an_unknown_run_is_refused(hearth: Hearth):
    outcome = hearth("logs", "no such run")
    assert (outcome.code, "knows no run 'no such run'" in outcome.err) == (2, True)
