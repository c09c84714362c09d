"""Leases of this machine: shared or exclusive, and let go by whoever is killed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.core.file_locks import is_held, take_exclusive, take_shared, try_exclusive
from tests.support.waiting import PATIENCE, until
from tests.unit.tasks.leasing.leased_servers import ROOT

# Holds a lease until it is killed.
HOLD = """
import sys, time
from pathlib import Path
from tasks.core.file_locks import take_exclusive, take_shared
lease = {"shared": take_shared, "exclusive": take_exclusive}[sys.argv[2]](Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def holder(path: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLD, str(path), kind]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_many_may_share_a_lease(tmp_path):
    leases = [take_shared(tmp_path / "lease") for _ in range(5)]
    assert try_exclusive(tmp_path / "lease") is None
    for lease in leases:
        lease.release()
    assert try_exclusive(tmp_path / "lease") is not None


def test_nobody_shares_what_is_held_exclusively(tmp_path):
    lease = take_exclusive(tmp_path / "lease")
    assert try_exclusive(tmp_path / "lease") is None
    assert is_held(tmp_path / "lease")
    lease.release()
    assert not is_held(tmp_path / "lease")


def test_what_was_never_leased_is_not_held(tmp_path):
    assert not is_held(tmp_path / "none")


def test_letting_go_twice_lets_go_of_nothing_else(tmp_path):
    lease = take_shared(tmp_path / "one")
    lease.release()
    other = take_exclusive(tmp_path / "other")  # it gets the file descriptor that became free
    lease.release()
    assert is_held(tmp_path / "other")
    other.release()


def test_a_lease_is_waited_for_until_the_exclusive_one_is_let_go(tmp_path):
    exclusive = take_exclusive(tmp_path / "lease")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(take_shared, tmp_path / "lease")
        time.sleep(0.05)
        assert not waiting.done()
        exclusive.release()
        waiting.result(PATIENCE).release()


@pytest.mark.parametrize("kind", ["shared", "exclusive"])
def test_a_killed_process_has_let_go(tmp_path, kind):
    with holder(tmp_path / "lease", kind) as process:
        assert try_exclusive(tmp_path / "lease") is None
        process.kill()
        process.wait()
        assert try_exclusive(tmp_path / "lease") is not None


def test_a_child_does_not_inherit_a_lease(tmp_path):
    lease = take_shared(tmp_path / "lease")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        try:
            lease.release()
            # The system closes what is not inherited a moment after the child's start is told.
            until(lambda: try_exclusive(tmp_path / "lease") is not None)
        finally:
            child.kill()


def test_those_who_only_look_do_not_take_each_other_for_a_holder(tmp_path):
    path = tmp_path / "lease"
    path.touch()
    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: any(is_held(path) for _ in range(300)), range(8)))
    assert not any(seen)
