"""A test run that leaves a process behind fails, and names the test that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.forkserver import ROOT, SESSION
from tests.support.waiting import until

pytestmark = pytest.mark.long("tests the harness")

LEAVES = {
    "a process": "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)",
    "a daemon of a command": ("subprocess.run(['sh', '-c', 'setsid sleep 600 >/dev/null 2>&1 &'], check=True)"),
}


def run(directory: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Run a test with a body in a pytest of its own."""
    (directory / "test_inner.py").write_text(f"import subprocess, sys\n\ndef test_that_leaves():\n    {body}\n")
    (directory / "pytest.ini").write_text("[pytest]\n")
    environment = {name: value for name, value in os.environ.items() if name not in {SESSION, "PYTEST_CURRENT_TEST"}}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.leftovers", "-W", "ignore", "."],
        cwd=directory,
        env={**environment, "PYTHONPATH": str(ROOT), "TESTS_GRACE_SECONDS": "0.5"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("body", LEAVES.values(), ids=LEAVES)
def test_what_a_test_leaves_behind_fails_the_run_is_named_and_is_ended(tmp_path: Path, body: str):
    done = run(tmp_path, body)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    (line,) = (line for line in done.stdout.splitlines() if "left over" in line)
    assert "test_inner.py::test_that_leaves (call)" in line
    assert _is_ended(int(line.split("process ")[1].split()[0]))


def test_a_run_that_leaves_nothing_passes(tmp_path: Path):
    done = run(tmp_path, "subprocess.run(['true'], check=True)")
    assert done.returncode == pytest.ExitCode.OK, done.stdout


ENDS_ABRUPTLY = {"interrupted": "raise KeyboardInterrupt", "killed": "os.kill(os.getpid(), signal.SIGKILL)"}


@pytest.mark.parametrize("end", ENDS_ABRUPTLY.values(), ids=ENDS_ABRUPTLY)
def test_a_run_that_ends_abruptly_leaves_no_process_and_no_directory(tmp_path: Path, end: str):
    noted = "import os, pathlib, signal; pathlib.Path('session').write_text(os.environ['TESTS_SESSION'])"
    done = run(tmp_path, f"{noted}; left = {LEAVES['a process']}; pathlib.Path('pid').write_text(str(left.pid)); {end}")
    assert done.returncode in {pytest.ExitCode.INTERRUPTED, -signal.SIGKILL}, done.stdout
    assert "left over" not in done.stdout
    directory = (tmp_path / "session").read_text().rpartition(":")[0]
    until(lambda: not Path(directory).exists())
    assert _is_ended(int((tmp_path / "pid").read_text()))


def _is_ended(pid: int) -> bool:
    """Whether there is no such process, or it is a zombie that nobody has reaped."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
