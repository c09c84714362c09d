"""Files that several processes lock, append to, rewrite and remove, without losing changes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tasks.core.file_locks import FileLock, is_held, remove_unheld, take_exclusive, try_exclusive
from tasks.storage.local import LocalFiles
from tests.support.waiting import until


def test_a_lock_that_somebody_holds_is_not_removed(tmp_path: Path):
    lock = take_exclusive(tmp_path / "lock")
    assert not remove_unheld(tmp_path / "lock")
    lock.release()
    assert remove_unheld(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()


def test_a_waiter_whose_lock_file_is_removed_takes_a_lock_that_others_see(tmp_path: Path):
    lock = tmp_path / "lock"
    first = take_exclusive(lock)
    taken: list[FileLock] = []
    waiting = threading.Thread(target=lambda: taken.append(take_exclusive(lock)))
    waiting.start()
    lock.unlink()  # as a clean-up does while it holds the lock
    first.release()
    waiting.join()
    assert is_held(lock)
    assert try_exclusive(lock) is None
    taken[0].release()


def test_lines_appended_while_a_file_is_rewritten_are_kept(tmp_path: Path):
    files = LocalFiles(tmp_path)
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


def test_a_missing_or_unchanged_file_is_not_written(tmp_path: Path):
    LocalFiles(tmp_path).rewrite("lines", lambda _: b"made")
    assert not (tmp_path / "lines").exists()
    (tmp_path / "lines").write_text("same\n")
    before = (tmp_path / "lines").stat().st_ino
    LocalFiles(tmp_path).rewrite("lines", lambda text: text)
    assert (tmp_path / "lines").stat().st_ino == before
    assert until(lambda: not is_held(tmp_path / "lines"))
