"""Locks of files: a run that waits names another user who holds the lock, within seconds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.core.events import Event, RunWarning, subscribe
from tasks.core.file_locks import NAMED_SECONDS, take_exclusive, try_exclusive
from tasks.core.owners import foreign_holder
from tasks.storage import local
from tasks.storage.local import LocalFiles
from tests.support.other_user import NEEDS_ROOT, UID, as_other, public  # noqa: F401 - a fixture
from tests.support.waiting import PATIENCE

pytestmark = NEEDS_ROOT
IMPORTS = """
from pathlib import Path
import encodings.idna, contextvars, pwd
import tasks.core.owners
from tasks.core.file_locks import take_exclusive, try_exclusive
from tasks.storage.local import LocalFiles
from tasks.slots.store import FileStore
"""
HOLD = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(descriptor, fcntl.LOCK_EX)
os.setresuid({uid}, {uid}, {uid})
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another(path: Path) -> Iterator[int]:
    """Hold a lock by a process of another user, and yield its id."""
    path.touch()
    command = [sys.executable, "-c", HOLD.format(uid=UID), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process.pid
        finally:
            process.stdin.close()


def heard(events: list[Event]) -> str:
    return " ".join(event.message for event in events if isinstance(event, RunWarning))


def test_another_users_lock_is_named_by_process_and_user(tmp_path: Path):
    with held_by_another(tmp_path / "lock") as process:
        assert foreign_holder(tmp_path / "lock") == f"nobody (uid {UID}), process {process}"


def test_a_users_own_lock_is_not_named(tmp_path: Path):
    lock = take_exclusive(tmp_path / "lock")
    assert foreign_holder(tmp_path / "lock") == ""
    lock.release()


def test_waiting_for_a_lock_names_its_holder_within_seconds(tmp_path: Path):
    events: list[Event] = []
    warned = threading.Event()

    def hear(event: Event) -> None:
        events.append(event)
        warned.set()

    def wait() -> None:
        with subscribe(hear):
            take_exclusive(tmp_path / "lock").release()

    with held_by_another(tmp_path / "lock"):
        began = time.monotonic()
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert warned.wait(PATIENCE)
        assert time.monotonic() - began >= NAMED_SECONDS
    waiting.join()
    assert f"{tmp_path / 'lock'} is held by nobody (uid {UID})" in heard(events)


async def test_waiting_for_a_document_names_the_holder_of_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "LOCK_POLL_SECONDS", 0.01)
    directory, events = LocalFiles(tmp_path), []
    warned = asyncio.Event()

    def hear(event: Event) -> None:
        events.append(event)
        warned.set()

    async def wait() -> None:
        async with directory.lock(lambda: None):
            pass

    with subscribe(hear), held_by_another(tmp_path / ".lock"):
        waiting = asyncio.create_task(wait())
        await asyncio.wait_for(warned.wait(), PATIENCE)
    await waiting
    assert f"{tmp_path / '.lock'} is held by nobody (uid {UID})" in heard(events)


@pytest.mark.parametrize(
    "code",
    [
        "take_exclusive(Path(sys.argv[1]))",
        "try_exclusive(Path(sys.argv[1]))",
        "asyncio.run(LocalFiles(Path(sys.argv[1]).parent).lock(print).__aenter__())",
        "asyncio.run(FileStore(Path(sys.argv[1]).with_suffix('.json')).change(lambda ledger: ledger))",
    ],
)
def test_a_lock_that_another_user_made_is_named_at_once(public: Path, code: str):  # noqa: F811 - a fixture
    """In a directory that both may use, such as one of an earlier version."""
    public.chmod(0o777)
    lock = public / ".lock"
    (public / ".lock").touch(mode=0o600)
    done = as_other(IMPORTS, code, lock if "FileStore" not in code else _named(public))
    error = done.stderr.splitlines()[-1]
    assert error.startswith("tasks.core.errors.StorageError: "), done.stderr
    assert "lock belongs to root (uid 0), and nobody" in error


def _named(public: Path) -> Path:  # noqa: F811 - an argument
    (public / "ledger.lock").touch(mode=0o600)
    return public / "ledger.lock"


def test_a_lock_in_another_users_directory_names_the_directory(public: Path):  # noqa: F811 - a fixture
    (public / "home").mkdir(mode=0o700)
    done = as_other(IMPORTS, "take_exclusive(Path(sys.argv[1]))", public / "home" / "lock")
    assert f"{public / 'home'} belongs to root (uid 0)" in done.stderr.splitlines()[-1], done.stderr


def test_locks_are_made_for_their_owner_alone(tmp_path: Path):
    lock = try_exclusive(tmp_path / "lock")
    assert lock is not None
    lock.release()
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
