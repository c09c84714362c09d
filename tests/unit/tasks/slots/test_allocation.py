"""Shares of a server's slots, as runs keep them in a file."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from tasks.core import clock
from tasks.core.clock import boot_id
from tasks.slots.allocation import SlotAllocation
from tasks.slots.ledger import SlotClaim, knowing
from tasks.slots.store import FileStore
from tests.support.waiting import PATIENCE, until_async
from tests.unit.tasks.slots.shares import SLOTS, in_use, measured, sharing


async def test_a_run_alone_may_use_every_slot(store):
    async with sharing(store) as share:
        assert share.free == SLOTS


async def test_a_run_uses_no_more_slots_than_it_may(store):
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


async def test_a_run_that_waits_learns_that_slots_came_free(store):
    told = asyncio.Event()
    async with sharing(store) as first:
        in_use(first, SLOTS)
        second = SlotAllocation(store, SLOTS, measured(), told.set)
        await second.open()
        told.clear()
        first.give()
        await asyncio.wait_for(told.wait(), PATIENCE)
        await until_async(lambda: second.free > 0)
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


async def test_a_run_without_slots_gets_one_if_the_ledger_stays_out_of_reach(store, tmp_path, monkeypatch):
    monkeypatch.setattr(FileStore, "lease_seconds", 1.0)
    async with sharing(store) as other, sharing(store) as share:
        share.expect(0)
        await until_async(lambda: share.free <= 0 and other.free == SLOTS)
        directory = tmp_path / "slots"
        directory.rename(tmp_path / "gone")
        directory.write_text("in the way")
        share.expect(SLOTS)
        await until_async(lambda: share.free == 1)
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
