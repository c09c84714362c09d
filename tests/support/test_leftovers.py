"""A test run that leaves a process behind fails, and names the test that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tasks.core.environment import MACHINE, select_variables
from tests.support.forkserver import ROOT, SESSION
from tests.support.waiting import until

pytestmark = pytest.mark.long("tests the harness")

LEAVES = {
    "a process": "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)",
    "a daemon of a command": ("subprocess.run(['sh', '-c', 'setsid sleep 600 >/dev/null 2>&1 &'], check=True)"),
}


def run(directory: Path, body: str, *options: str, more: str = "") -> subprocess.CompletedProcess[str]:
    """Run a test with a body in a pytest of its own, and what the module has more."""
    imports = "import os, pathlib, pytest, signal, subprocess, sys"
    (directory / "test_inner.py").write_text(f"{imports}\n\ndef test_that_leaves():\n    {body}\n\n{more}\n")
    (directory / "pytest.ini").write_text("[pytest]\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith((SESSION, "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.leftovers", "-W", "ignore", *options, "."],
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


NOTED = f"left = {LEAVES['a process']}; pathlib.Path('pid').write_text(str(left.pid))"
ENDS_ABRUPTLY = {"interrupted": "raise KeyboardInterrupt", "killed": "os.kill(os.getpid(), signal.SIGKILL)"}
THEN_IT_IS_GONE = """
def test_then():
    assert not pathlib.Path('/proc', pathlib.Path('pid').read_text(), 'exe').exists()
"""
IN_A_FIXTURE = f"""
@pytest.fixture(scope='module')
def server():
    {NOTED}
    raise OSError

def test_of_the_server(server):
    pass
"""


@pytest.mark.parametrize("end", ENDS_ABRUPTLY.values(), ids=ENDS_ABRUPTLY)
def test_a_run_that_ends_abruptly_leaves_no_process_and_no_directory(tmp_path: Path, end: str):
    done = run(tmp_path, f"pathlib.Path('session').write_text(os.environ['{SESSION}']); {NOTED}; {end}")
    assert done.returncode in {pytest.ExitCode.INTERRUPTED, -signal.SIGKILL}, done.stdout
    assert "left over" not in done.stdout
    directory = (tmp_path / "session").read_text().rpartition(":")[0]
    until(lambda: not Path(directory).exists())
    assert _is_ended(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(
    ("body", "options", "more", "outcome"),
    [
        (f"{NOTED}; {ENDS_ABRUPTLY['killed']}", ["-n", "1"], "", "1 failed, 1 passed"),
        (f"{NOTED}; assert False", [], "", "1 failed, 1 passed"),
        ("pass", [], IN_A_FIXTURE, "2 passed, 1 error"),
    ],
    ids=["killed worker", "failed test", "failed fixture"],
)
def test_what_had_no_chance_to_end_its_processes_leaves_none_to_the_next_test(
    tmp_path: Path, body: str, options: list[str], more: str, outcome: str
):
    done = run(tmp_path, body, *options, more=more + THEN_IT_IS_GONE)
    assert outcome in done.stdout
    assert "left over" not in done.stdout


def test_a_server_that_inherits_little_is_known_by_its_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(SESSION, "of this run")
    assert select_variables(MACHINE)[SESSION] == "of this run"


def _is_ended(pid: int) -> bool:
    """Whether there is no such process, or it is a zombie that nobody has reaped."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
