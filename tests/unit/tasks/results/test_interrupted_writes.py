"""What stands on disk after a crash, a kill and a full disk, and beside another run."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import OutputError, StorageError
from tasks.core.events import Progress, subscribe
from tasks.results.store import ResultStore
from tests.support.waiting import PATIENCE
from tests.unit.tasks.results.stored import breaking, files, page

# Whole or not at all


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StorageError),
        (OSError(errno.EIO, "Input/output error"), StorageError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_a_write_that_breaks_leaves_the_old_file_and_nothing_else(store, error, raised):
    store.write_page(page(1, "the old text"))
    store.write_document((1,))
    before = store.document_path.read_text()
    with pytest.raises(raised):
        store.write_document(breaking(error, 1, 1))
    assert store.document_path.read_text() == before
    assert files(store) == {"document.md", "pages/0001.json"}


def test_a_page_that_cannot_be_read_leaves_no_half_document(store):
    store.write_page(page(1))
    (store.directory / "pages" / "0002.json").mkdir()
    with pytest.raises(OutputError):
        store.write_document((1, 2))
    assert files(store) == {"pages/0001.json"}


def test_a_full_disk_says_to_make_room_and_that_the_pages_stand(store):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StorageError, match=r"document\.md cannot be written: No space .*Free space.*kept") as caught:
        store.write_document(breaking(full))
    assert caught.value.exit_code == 1


def test_a_directory_that_went_away_says_to_mend_it(store):
    shutil.rmtree(store.directory)
    with pytest.raises(StorageError, match=r"0001\.json cannot be written: .*Fix the directory"):
        store.write_page(page(1))


FULL_DISK = """
import sys
from pathlib import Path
from tasks.core.errors import StorageError
from tasks.results.store import ResultStore
from tests.unit.tasks.results.stored import page
store = ResultStore(Path(sys.argv[1]))
store.prepare()
store.write_page(page(1, "kept"))
try:
    store.write_page(page(1, "x" * 1_000_000))
except StorageError as error:
    print(error)
print(store.page(1).text, sorted(path.name for path in (store.directory / "pages").iterdir()))
"""


def test_a_disk_that_is_really_full_keeps_the_old_page_and_no_temporary(small_disk):
    command = [*small_disk.prefix, sys.executable, "-c", FULL_DISK, str(small_disk.directory)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[4])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    told, kept = done.stdout.splitlines()
    assert "No space left on device. Free space" in told
    assert kept == "kept ['0001.json']"


# After a kill, and beside another run


@pytest.mark.parametrize("leftover", [".manifest.json.k1ll3d.tmp", "pages/.0001.json.k1ll3d.tmp"])
async def test_what_a_killed_run_left_half_written_is_cleared_by_the_next(store, leftover):
    store.write_page(page(1))
    (store.directory / leftover).write_text('{"schema_ver')
    store.prepare()
    async with store.lock():
        assert files(store) == {"pages/0001.json"}


async def test_what_another_run_is_writing_just_now_is_left_alone(store):
    async with store.lock():
        writing = store.directory / "pages" / ".0001.json.other.tmp"
        writing.touch()
        ResultStore(store.directory).prepare()
        assert writing.exists()


async def test_two_runs_of_one_document_take_turns(store, monkeypatch):
    monkeypatch.setattr("tasks.storage.local.LOCK_POLL_SECONDS", 0.01)
    told: list[Any] = []
    order: list[str] = []
    waits = asyncio.Event()

    def hear(event: Any) -> None:
        told.append(event)
        waits.set()

    async def second() -> None:
        with subscribe(hear):
            async with ResultStore(store.directory).lock():
                order.append("second has it")

    async with store.lock():
        other = asyncio.create_task(second())
        await waits.wait()
        order.append("first had it")
    await other
    assert order == ["first had it", "second has it"]
    assert set(told) == {Progress("waiting for another run that reads this document")}


async def test_a_turn_ends_with_the_error_that_ends_its_run(store):
    with pytest.raises(RuntimeError):
        async with store.lock():
            raise RuntimeError
    async with asyncio.timeout(PATIENCE), ResultStore(store.directory).lock():
        pass


async def test_runs_of_different_documents_do_not_wait(store, tmp_path):
    other = ResultStore(tmp_path / "results" / "letter-bbbbbbbbbbbb")
    other.prepare()
    heard: list[Any] = []
    with subscribe(heard.append):
        async with asyncio.timeout(PATIENCE), store.lock(), other.lock():
            assert heard == []  # who waits says so
