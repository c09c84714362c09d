"""A test run that leaves a process behind fails, and names the test that started it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.forkserver import ROOT, SESSION

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
    assert not Path(f"/proc/{line.split('process ')[1].split()[0]}/cmdline").exists() or _is_ended(line)


def test_a_run_that_leaves_nothing_passes(tmp_path: Path):
    done = run(tmp_path, "subprocess.run(['true'], check=True)")
    assert done.returncode == pytest.ExitCode.OK, done.stdout


def _is_ended(line: str) -> bool:
    """Whether the process is a zombie that nobody has reaped."""
    pid = line.split("process ")[1].split(maxsplit=1)[0]
    return not Path(f"/proc/{pid}/cmdline").read_bytes()
