"""A pytest plugin: a test run that leaves a process behind fails, and names the test that started it.

Every process of a run inherits two variables: the run's directory, and pytest's name of the current test. A port or a
lock is held by a process, so none is left where no process is. A test or a fixture that fails may not come to end what
it has started: that is ended for it. After a run that was interrupted or killed, `sweeper` does so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import forkserver
from tests.support.forkserver import SESSION

_GRACE_SECONDS = float(os.environ.get("TESTS_GRACE_SECONDS", "30"))
"""What was asked to end may take so long on a busy machine."""

_TICK_SECONDS = 0.01
"""The system tells the start of a process so exactly."""

_FORK_SERVER = "tests.support.forkserver_main"


@dataclass(frozen=True)
class Leftover:
    """A process that a test left behind; `worker` of xdist started it, or "" where that is the fork server's matter."""

    process: psutil.Process
    command: str
    test: str
    worker: str

    def __str__(self) -> str:
        return f"process {self.process.pid} of {self.test}: {self.command}"


def leftovers(session: str) -> Iterator[Leftover]:
    """Find the living processes of a test run, but for this one, its parents and the fork server itself."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    forked = _forked(session)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            variables = process.environ()
            if process.pid in own or variables.get(SESSION) != session or process.status() == psutil.STATUS_ZOMBIE:
                continue
            test, command = variables.get("PYTEST_CURRENT_TEST", "no test"), " ".join(process.cmdline())
            worker = variables.get("PYTEST_XDIST_WORKER", "")
            if _FORK_SERVER in command:
                if process.pid not in forked:
                    continue  # the fork server itself
                (test, command), worker = forked[process.pid], ""
            yield Leftover(process, command[:150], test, worker)


def _forked(session: str) -> dict[int, tuple[str, str]]:
    """What the fork server started: the test and the command of each process."""
    log = forkserver.log(session)
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    noted = (line.split("\t") for line in lines if line.count("\t") == 2)
    return {int(pid): (test, command) for pid, test, command in noted}


def pytest_configure(config: pytest.Config) -> None:
    """Make a directory in which all processes of the test run meet; workers of xdist inherit it."""
    if SESSION not in os.environ:
        directory = tempfile.mkdtemp(prefix="hearth-tests-")
        session = f"{directory}:{os.getpid()}"
        command = [sys.executable, "-S", str(Path(__file__).with_name("sweeper.py")), SESSION, session, directory]
        sweeper = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        config.add_cleanup(sweeper.communicate)  # it hears that the run has ended, and ends
        os.environ[SESSION] = session
        config.add_cleanup(lambda: os.environ.pop(SESSION))


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    """End what a fixture has started that fails before it is there."""
    with _when_failed(lambda began: _end(os.environ["PYTEST_CURRENT_TEST"], began)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Note when a test began that has failed."""
    with _when_failed(partial(item.stash.__setitem__, _FAILED)):
        return (yield)


@contextmanager
def _when_failed(call: Callable[[float], None]) -> Iterator[None]:
    """Call with the time at which this began, if it fails; a skip is no failure."""
    began = _now()
    try:
        yield
    except pytest.skip.Exception:
        raise
    except BaseException:
        call(began)
        raise


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """End what a test has started that has failed, after its fixtures have ended what is theirs."""
    try:
        return (yield)
    finally:
        if item.stash.get(_FAILED, None) is not None:
            _end(item.nodeid, item.stash[_FAILED])


def _now() -> float:
    """Return the time in seconds since boot, as exactly as the system tells it of processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - _TICK_SECONDS


def _end(test: str, since: float) -> None:
    """End what a test has started since then, and wait until it has let go of what it held."""
    test = test.rpartition(" (")[0] or test  # what fixtures know of the environment is from the setup
    for each in leftovers(os.environ[SESSION]):
        with suppress(psutil.Error, OSError):
            if each.test.rpartition(" (")[0] == test and _started(each.process.pid) >= since:
                each.process.kill()
                while each.process.status() != psutil.STATUS_ZOMBIE:  # whoever started it may want to reap it
                    time.sleep(_TICK_SECONDS)


def _started(pid: int) -> float:
    """When a process started, in seconds since boot: the 22nd field of proc(5)'s stat."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail the run if processes of it are left, and end them; tests that were interrupted could not do so."""
    if hasattr(session.config, "workerinput"):  # a worker of xdist; its parent looks
        return
    if exitstatus == pytest.ExitCode.INTERRUPTED:
        return
    deadline = time.monotonic() + _GRACE_SECONDS
    while (left := list(leftovers(os.environ[SESSION]))) and time.monotonic() < deadline:
        time.sleep(0.2)
    session.config.stash[_LEFT] = [str(each) for each in left]
    for each in left:
        with suppress(psutil.Error):
            each.process.kill()
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """End what a worker of xdist left that was killed: its processes may hold what the next one wants."""
    for each in leftovers(os.environ[SESSION]) if error else ():
        if each.worker == node.gateway.id:
            with suppress(psutil.Error):
                each.process.kill()


_LEFT: pytest.StashKey[list[str]] = pytest.StashKey()
_FAILED: pytest.StashKey[float] = pytest.StashKey()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name what was left."""
    for each in config.stash.get(_LEFT, []):
        terminalreporter.write_line(f"ERROR left over: {each}", red=True)
