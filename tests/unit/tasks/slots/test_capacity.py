"""How many slots a server has, as runs learn it and tell each other."""

from __future__ import annotations

import asyncio

import pytest

from tasks.core.errors import ModelError
from tasks.core.replicas import Replicas
from tasks.slots.allocation import SlotAllocation
from tasks.slots.capacity import Count, agreed_capacity
from tasks.slots.store import FileStore
from tests.support.clock import Clock
from tests.support.waiting import PATIENCE, until_async
from tests.unit.tasks.slots.shares import SLOTS, in_use, measured, sharing


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
    """It takes six times as long as its claim lasts."""
    clock, begun, measurements = Clock(), asyncio.Event(), 0
    monkeypatch.setattr(FileStore, "now", lambda _: clock.time())
    monkeypatch.setattr(FileStore, "lease_seconds", 0.4)

    async def renewed() -> bool:
        return (await store.change(lambda ledger: ledger)).measured_until == clock.time() + store.lease_seconds

    async def measure() -> Count:
        nonlocal measurements
        measurements += 1
        begun.set()
        for _ in range(8):
            clock.advance(0.3)
            await until_async(renewed)
        return Count(2)

    first = asyncio.create_task(agreed_capacity(store, "model", 2, measure))
    await begun.wait()
    second = await agreed_capacity(store, "model", 2, measure)
    assert (await first) == second
    assert measurements == 1


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
