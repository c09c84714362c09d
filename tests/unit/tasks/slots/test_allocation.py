"""Shares of a server's slots, as runs keep them in a file: several in one process, and in processes of their own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from tasks.core import clock
from tasks.core.clock import boot_id
from tasks.core.errors import ModelError, StorageError
from tasks.core.replicas import Replicas
from tasks.slots.allocation import SlotAllocation
from tasks.slots.capacity import Count, agreed_capacity
from tasks.slots.ledger import Ledger, Measured, SlotClaim, knowing
from tasks.slots.store import FileStore, LedgerStore
from tests.support.commands import ROOT
from tests.support.waiting import PATIENCE, until_async

SLOTS = 4


def measured(slots: int = SLOTS) -> Measured:
    return Measured(what="model", slots=slots, asked=slots, at=time.time())


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore.of(tmp_path, "http://127.0.0.1:11434")


@asynccontextmanager
async def sharing(store: LedgerStore, most: int = SLOTS) -> AsyncIterator[SlotAllocation]:
    share = SlotAllocation(store, most, measured(), lambda: None)
    await share.open()
    try:
        yield share
    finally:
        await share.close()


def in_use(share: SlotAllocation, slots: int) -> None:
    for _ in range(slots):
        share.take()


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


async def test_a_directory_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "slots").write_text("in the way")
    with pytest.raises(StorageError, match="set HEARTH_HOME"):
        await FileStore.of(tmp_path, "http://127.0.0.1:11434").change(lambda ledger: ledger)


# Shares


async def test_a_run_alone_may_use_every_slot(store):
    async with sharing(store) as share:
        assert share.free == SLOTS


async def test_a_run_uses_no_more_than_it_was_told_to(store):
    async with sharing(store, most=1) as share:
        assert (share.free, share.capacity) == (1, 1)


async def test_a_newcomer_gets_its_part_as_pages_end(store):
    async with sharing(store) as first:
        in_use(first, SLOTS)
        async with sharing(store) as second:
            assert second.free == 0
            await asyncio.sleep(2 * store.watch_seconds)
            first.give()
            await until_async(lambda: second.free == 1)
            assert first.free <= 0
            first.give()
            await until_async(lambda: second.free == 2)
            first.give()
            await until_async(lambda: first.free == 1)


async def test_what_a_run_leaves_the_others_get(store):
    async with sharing(store) as stays:
        async with sharing(store):
            await until_async(lambda: stays.free == SLOTS / 2)
        await until_async(lambda: stays.free == SLOTS)


async def test_slots_that_a_run_has_no_pages_for_are_given_back(store):
    async with sharing(store) as ends, sharing(store) as goes_on:
        ends.expect(0)
        await until_async(lambda: goes_on.free == SLOTS)
        assert ends.free <= 0


async def test_whoever_waits_is_told_that_slots_came_free(store):
    told = asyncio.Event()
    async with sharing(store) as first:
        in_use(first, SLOTS)
        second = SlotAllocation(store, SLOTS, measured(), told.set)
        await second.open()
        told.clear()
        first.give()
        await asyncio.wait_for(told.wait(), PATIENCE)
        await second.close()


async def test_a_run_that_stood_still_begins_no_page_before_it_has_looked(store, monkeypatch):
    monkeypatch.setattr(FileStore, "lease_seconds", 0.5)
    async with sharing(store) as share:
        time.sleep(1)  # noqa: ASYNC251 - the process stands still
        assert share.free == 0
        await until_async(lambda: share.free == SLOTS)


async def test_a_ledger_out_of_reach_does_not_keep_pages_from_being_read(store, tmp_path, monkeypatch):
    monkeypatch.setattr(FileStore, "lease_seconds", 1.0)
    async with sharing(store) as share:
        directory = tmp_path / "slots"
        directory.rename(tmp_path / "gone")
        directory.write_text("in the way")
        await asyncio.sleep(2)
        await until_async(lambda: share.free == SLOTS)
        directory.unlink()


async def test_a_ledger_that_is_lost_is_made_again(store, tmp_path):
    async with sharing(store) as share:
        (file,) = tmp_path.glob("slots/*.json")
        file.unlink()
        await until_async(file.exists)
        assert share.free == SLOTS
        assert (await store.change(lambda ledger: ledger)).held == SLOTS


async def test_a_server_in_trouble_gets_fewer_from_everybody_and_more_when_it_is_well(store):
    async with sharing(store) as one, sharing(store) as other:
        one.trouble(time.time())
        await until_async(lambda: one.free + other.free == SLOTS // 2)
        for limit in (3, 4):
            await asyncio.sleep(0.01)
            other.relief(time.time())
            await until_async(lambda limit=limit: one.free + other.free == limit)


@pytest.mark.skipif(boot_id() is None, reason="only Linux has a clock that no step moves")
@pytest.mark.parametrize("days", [1, -1])
async def test_a_step_of_the_clock_takes_no_slot_from_anybody(store, tmp_path, monkeypatch, days):
    """A claim seems to have ended a day ago, or to end in a day: neither is so."""
    async with sharing(store) as reads:
        in_use(reads, SLOTS)
        monkeypatch.setattr(
            clock, "time", SimpleNamespace(**vars(time) | {"time": lambda: time.time() + days * 86_400})
        )
        async with sharing(FileStore.of(tmp_path, "http://127.0.0.1:11434")) as comes:
            await asyncio.sleep(2 * store.watch_seconds)
            assert (comes.free, comes.runs) == (0, 2)
        assert reads.in_flight == SLOTS


async def test_a_claim_of_a_version_that_went_by_the_wall_clock_counts(store):
    old = SlotClaim(wants=4, holds=3, ends_at=time.time() + 10, came_at=time.time(), fed=True)
    await store.change(lambda ledger: knowing(ledger, measured()).model_copy(update={"claims": {"old": old}}))
    async with sharing(store) as comes:
        assert comes.free == 1


# The capacity


async def test_slots_follow_the_parts_of_a_server(store):
    parts = Replicas(0)
    parts.see(2, paid=2)
    share = SlotAllocation(store, 100, measured(4), lambda: None, parts)
    await share.open()
    assert (share.capacity, share.free) == (8, 8)
    parts.see(4, paid=4)
    await until_async(lambda: (share.capacity, share.free) == (16, 16))
    parts.see(1, paid=4)
    await until_async(lambda: (share.capacity, share.free) == (4, 4))
    await share.close()


async def test_a_server_is_measured_by_one_and_known_to_all(store):
    measurements = 0

    async def measure() -> Count:
        nonlocal measurements
        measurements += 1
        await asyncio.sleep(0.2)
        return Count(3)

    found = await asyncio.gather(*(agreed_capacity(store, "model", 8, measure) for _ in range(5)))
    assert [known.slots for known in found] == [3] * 5
    assert measurements == 1


async def test_a_busy_server_is_not_measured_again(store):
    async def never() -> Count:
        raise AssertionError

    async with sharing(store):
        assert (await agreed_capacity(store, "model", 2, never)).slots == SLOTS


async def test_who_asks_for_more_than_was_tried_measures_when_the_others_have_drained(store):
    async with sharing(store) as share:
        in_use(share, 2)

        async def measure() -> Count:
            assert share.in_flight == 0
            assert share.free <= 0
            return Count(8)

        measuring = asyncio.create_task(agreed_capacity(store, "model", 8, measure))
        await asyncio.sleep(4 * store.watch_seconds)
        assert not measuring.done()
        share.give()
        share.give()
        assert (await asyncio.wait_for(measuring, PATIENCE)).slots == 8
        await until_async(lambda: share.free == SLOTS)


async def test_a_measurement_that_fails_leaves_it_to_the_next(store):
    async def fails() -> Count:
        raise ModelError("no such model")

    async def works() -> Count:
        return Count(2)

    with pytest.raises(ModelError):
        await agreed_capacity(store, "model", 2, fails)
    assert (await asyncio.wait_for(agreed_capacity(store, "model", 2, works), PATIENCE)).slots == 2


async def test_a_long_measurement_stays_alone(store, monkeypatch):
    monkeypatch.setattr(FileStore, "lease_seconds", 1.5)
    measuring = 0

    async def measure() -> Count:
        nonlocal measuring
        measuring += 1
        assert measuring == 1
        await asyncio.sleep(4)
        return Count(2)

    first = asyncio.create_task(agreed_capacity(store, "model", 2, measure))
    await asyncio.sleep(0.1)
    second = await agreed_capacity(store, "model", 2, measure)
    assert (await first) == second


async def test_of_a_server_that_was_started_anew_nothing_is_known(tmp_path):
    """What was found of the one before it at its address holds no more, though a run of that one is still there."""
    url = "http://127.0.0.1:11434"
    before, anew = FileStore.of(tmp_path, url, "1 2"), FileStore.of(tmp_path, url, "3 4")

    async def four() -> Count:
        return Count(4)

    async def eight() -> Count:
        return Count(8)

    assert (await agreed_capacity(before, "model", 8, four)).slots == 4
    async with sharing(before, most=0):
        assert (await agreed_capacity(anew, "model", 8, eight)).slots == 8
        assert (await anew.change(lambda ledger: ledger)).capacity == 8


async def test_a_measure_that_pages_corrected_holds_for_all_runs(store):
    async with sharing(store) as one, sharing(store) as other:
        one.correct(2)
        await until_async(lambda: one.served == other.served == 2)
        assert one.free + other.free <= 2


# Processes


PAGES = """
import asyncio, os, sys, time
from pathlib import Path
from tasks.slots.allocation import Share
from tasks.slots.store import FileStore
from tasks.slots.ledger import Measured
home, log, pages, seconds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
async def main():
    slots, todo = asyncio.Event(), list(range(pages))
    share = Share(FileStore.of(home, "server"), 4, Measured(what="m", slots=4, asked=4, at=time.time()), slots.set)
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
    while f" {killed.pid} 1" not in (log.read_text() if log.exists() else ""):
        time.sleep(0.01)
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
