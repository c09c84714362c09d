"""Runs of the worker that `hearth up` starts are forks of its warm engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.prefect.hearth_up import Up, brought_up, processes
from tests.support.pdfs import written
from tests.support.waiting import until

MODULE = "flows.local.worker"

pytestmark = pytest.mark.long("starts Prefect's server, a worker and four runs: 40 s")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with brought_up(tmp_path_factory.mktemp("warm"), own_engine=True) as up:
        yield up


def forks(up: Up) -> list[psutil.Process]:
    """The forks of the warm engine, which is itself a fork of the worker."""
    found = [each for each in processes("HEARTH_HOME", str(up.home)) if each.cmdline()[2:4] == ["-m", MODULE]]
    engines = [each for each in found if each.parent() in found]
    return [each for each in engines if each.parent() in engines]


def begun(up: Up, directory: Path) -> tuple[str, psutil.Process]:
    """A run that reads pages, and its fork."""
    before = forks(up)
    directory.mkdir()
    paper = written(directory / "paper.pdf", *(f"Page {number} of many." for number in range(150)))
    run = up.run("process-document/on-demand", job={"document": str(paper), "output": str(directory)})
    until(lambda: list(directory.glob("paper-*/pages/*.json")))
    (fork,) = set(forks(up)) - set(before)
    return run, fork


def test_runs_are_forks_and_the_end_of_one_does_not_touch_the_others(up: Up, tmp_path: Path):
    crashed, fork = begun(up, tmp_path / "crashed")
    cancelled, _ = begun(up, tmp_path / "cancelled")
    fork.kill()
    assert up.ended(crashed)["state_name"] == "Crashed"
    assert up.state(cancelled) == "Running"
    up.cancel(cancelled)
    until(lambda: up.state(cancelled) == "Cancelled")
    short = written(tmp_path / "short.pdf", "The harbour is quiet.")
    after = up.run("process-document/on-demand", job={"document": str(short), "output": str(tmp_path / "after")})
    assert up.ended(after)["state_name"] == "Completed"
    until(lambda: forks(up) == [])
