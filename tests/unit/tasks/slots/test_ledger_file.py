"""The file in which runs keep their shares of a server's slots, also from processes of their own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest

from tasks.core.errors import StorageError
from tasks.slots.ledger import Ledger, knowing
from tasks.slots.store import FileStore
from tests.support.commands import ROOT
from tests.support.waiting import PATIENCE, until
from tests.unit.tasks.slots.shares import measured

# The file


async def test_a_ledger_is_there_for_the_next_who_looks(store, tmp_path):
    await store.change(lambda ledger: knowing(ledger, measured(3)))
    assert (await FileStore.of(tmp_path, "http://127.0.0.1:11434").change(lambda ledger: ledger)).capacity == 3


async def test_each_server_has_its_own(store, tmp_path):
    await store.change(lambda ledger: knowing(ledger, measured(3)))
    assert (await FileStore.of(tmp_path, "http://127.0.0.1:11435").change(lambda ledger: ledger)).capacity == 0


async def test_a_server_has_one_whatever_it_is_called(tmp_path):
    await FileStore.of(tmp_path, "http://localhost:11434").change(lambda ledger: knowing(ledger, measured(3)))
    other = FileStore.of(tmp_path, "http://127.0.0.1:11434")
    assert (await other.change(lambda ledger: ledger)).capacity == 3


async def test_a_ledger_that_makes_no_sense_is_begun_anew(store, tmp_path):
    await store.change(lambda ledger: knowing(ledger, measured(3)))
    (file,) = tmp_path.glob("slots/*.json")
    file.write_text('{"claims": [')
    assert await store.change(lambda ledger: ledger) == Ledger()


async def test_changes_by_processes_at_once_are_all_made(store, tmp_path):
    """Each adds one a hundred times; a change that did not see the one before it would be lost."""
    code = """
import asyncio, sys, time
from pathlib import Path
from tasks.slots.store import FileStore
store = FileStore.of(Path(sys.argv[1]), "http://127.0.0.1:11434")
async def main():
    for _ in range(100):
        await store.change(lambda ledger: ledger.model_copy(update={"limit": ledger.limit + 1}))
asyncio.run(main())
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    processes = [await asyncio.create_subprocess_exec(*command, cwd=ROOT) for _ in range(4)]
    assert [await process.wait() for process in processes] == [0] * 4
    assert (await store.change(lambda ledger: ledger)).limit == 400


async def test_a_directory_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "slots").write_text("in the way")
    with pytest.raises(StorageError, match="set HEARTH_HOME"):
        await FileStore.of(tmp_path, "http://127.0.0.1:11434").change(lambda ledger: ledger)


# Processes


PAGES = """
import asyncio, os, sys, time
from pathlib import Path
from tasks.slots.allocation import SlotAllocation
from tasks.slots.store import FileStore
from tasks.slots.ledger import Measured
home, log, pages, seconds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
async def main():
    slots, todo = asyncio.Event(), list(range(pages))
    measured = Measured(what="m", slots=4, asked=4, at=time.time())
    share = SlotAllocation(FileStore.of(home, "server"), 4, measured, slots.set)
    async def page():
        with log.open("a") as file:
            file.write(f"{time.time()} {os.getpid()} 1\\n")
        await asyncio.sleep(seconds)
        with log.open("a") as file:
            file.write(f"{time.time()} {os.getpid()} -1\\n")
        share.give()
        slots.set()
    async with asyncio.TaskGroup() as group:
        await share.open()
        while todo:
            share.expect(len(todo))
            while todo and share.free > 0:
                share.take()
                todo.pop()
                group.create_task(page())
            slots.clear()
            await slots.wait()
    await share.close()
asyncio.run(main())
"""


@pytest.mark.long("takes 16 s of many processes")
def test_processes_share_slots_and_never_use_more_than_there_are(tmp_path):
    """Five of them, one of which is killed in the middle; the others read all of their pages."""
    log = tmp_path / "log"
    command = [sys.executable, "-c", PAGES, str(tmp_path), str(log), "20", "0.2"]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(5)]
    killed = processes[0]
    until(lambda: log.exists() and f" {killed.pid} 1" in log.read_text())
    killed.kill()
    killed_at = time.time()
    assert [process.wait(PATIENCE) for process in processes[1:]] == [0] * 4
    killed.wait()
    events = []
    for line in log.read_text().splitlines():
        at, pid, step = line.split()
        events.append((float(at), int(pid), int(step)))
    left_over = sum(step for _, pid, step in events if pid == killed.pid)
    events += [(killed_at, killed.pid, -1)] * left_over
    assert sum(step == 1 for _, pid, step in events if pid != killed.pid) == 80
    in_flight = most = 0
    for _, _, step in sorted(events):
        in_flight += step
        most = max(most, in_flight)
    assert most == 4
