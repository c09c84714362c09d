"""Files that several processes lock, add to, write anew and remove: none loses what another has."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tasks.storage.file_locks import FileLease, is_held, remove_unheld, take_exclusive, try_exclusive
from tasks.storage.local import Directory
from tests.support.waiting import until


def test_a_lock_that_somebody_holds_is_not_removed(tmp_path: Path):
    lease = take_exclusive(tmp_path / "lock")
    assert not remove_unheld(tmp_path / "lock")
    lease.release()
    assert remove_unheld(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()


def test_who_waits_for_a_lock_whose_file_is_removed_gets_one_that_others_see(tmp_path: Path):
    lock = tmp_path / "lock"
    first = take_exclusive(lock)
    got: list[FileLease] = []
    waiting = threading.Thread(target=lambda: got.append(take_exclusive(lock)))
    waiting.start()
    lock.unlink()  # as who cleans up does, while it holds it
    first.release()
    waiting.join()
    assert is_held(lock)
    assert try_exclusive(lock) is None
    got[0].release()


def test_what_is_added_while_a_file_is_written_anew_is_not_lost(tmp_path: Path):
    files = Directory(tmp_path)
    rewritten = threading.Event()

    def add(name: str) -> None:
        for number in range(100):
            files.append("lines", f"{name} {number}\n")

    def rewrite() -> None:
        while not rewritten.is_set():
            files.rewrite("lines", lambda text: b"".join(sorted(text.splitlines(keepends=True))))

    with ThreadPoolExecutor() as pool:
        files.append("lines", "first\n")
        again = pool.submit(rewrite)
        adding = [pool.submit(add, name) for name in "abc"]
        for each in adding:
            each.result()
        rewritten.set()
        again.result()
    lines = (tmp_path / "lines").read_text().splitlines()
    assert sorted(lines) == sorted(["first", *(f"{name} {number}" for name in "abc" for number in range(100))])


def test_a_file_that_is_not_there_or_does_not_change_is_not_written(tmp_path: Path):
    Directory(tmp_path).rewrite("lines", lambda _: b"made")
    assert not (tmp_path / "lines").exists()
    (tmp_path / "lines").write_text("same\n")
    before = (tmp_path / "lines").stat().st_ino
    Directory(tmp_path).rewrite("lines", lambda text: text)
    assert (tmp_path / "lines").stat().st_ino == before
    assert until(lambda: not is_held(tmp_path / "lines"))
