"""A process of the fork server ends with the test that holds it, whatever became of the test."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support import forkserver
from tests.support.forked_process import Process
from tests.support.waiting import until


def endless(directory: Path) -> Process:
    return forkserver.start("http.server", "0", "--bind", "127.0.0.1", cwd=directory, env=os.environ)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid)


def test_a_process_that_nobody_holds_any_more_is_killed_though_its_output_is_being_waited_for(tmp_path: Path):
    process = endless(tmp_path)
    pid = process.pid
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0)
    del process
    until(lambda: gone(pid))


def test_a_test_that_fails_does_not_wait_for_a_process_that_never_ends(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), endless(tmp_path) as process:
        pytest.fail(str(1 / 0))
    assert gone(process.pid)


def test_output_is_complete_in_the_call_after_one_that_gave_up(tmp_path: Path):
    with forkserver.start("http.server", "--help", cwd=tmp_path, env=os.environ) as process:
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=0)
        out, _ = process.communicate()
    assert "usage: " in out
    assert "--bind" in out
