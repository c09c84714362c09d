"""One of many processes may launch a machine, and the next one if it died or was delayed."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tasks.leasing.table import Table
from tests.integration.ec2.lease_pool import UPDATE, opened
from tests.support.aws.faults import lost_answer
from tests.support.aws.front import AwsFront
from tests.support.aws.pool import Pool
from tests.support.clock import Clock

pytestmark = pytest.mark.long("deploys a pool for each test: 1 s")


async def test_a_launch_lock_whose_response_was_lost_is_held(aws: AwsFront, pool: Pool):
    locks = (await opened()).launches
    aws.inject(lost_answer(), UPDATE)
    async with locks.held("default") as lock:
        assert lock is not None


# The launch lock


@pytest.mark.always
async def test_one_of_ten_processes_gets_the_lock(aws: AwsFront, pool: Pool):
    locks = (await opened()).launches
    everybody = asyncio.Barrier(10)

    async def want() -> bool:
        async with locks.held("default") as lock:
            await everybody.wait()
            return lock is not None

    assert sum(await asyncio.gather(*(want() for _ in range(10)))) == 1


async def test_the_lock_is_free_after_its_holder_and_pools_have_separate_locks(aws: AwsFront, pool: Pool):
    locks = (await opened()).launches
    async with locks.held("default") as first, locks.held("gpu") as other:
        assert first is not None
        assert other is not None
    async with locks.held("default") as second:
        assert second is not None


async def test_each_launch_that_ended_begins_a_new_generation(aws: AwsFront, pool: Pool):
    locks = (await opened()).launches
    for brought, last in ((None, ""), ("i-1", ""), (None, "i-1")):
        async with locks.held("default") as lock:
            assert lock is not None
            assert lock.last_machine == last
            await locks.ended("default", lock, brought)
    async with locks.held("default") as lock:
        assert lock is not None
        assert (lock.generation, lock.last_machine) == (3, "i-1")


async def test_the_lock_of_a_dead_holder_expires_and_the_next_launch_has_the_same_generation(
    aws: AwsFront, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    clock = Clock()
    monkeypatch.setattr(Table, "now", lambda _table: clock.now)
    locks = (await opened()).launches
    async with locks.held("default") as dead:
        assert dead is not None
        clock.advance(31)
        async with locks.held("default") as lock:
            assert lock is not None
            assert lock.generation == dead.generation
            assert not await locks.hold_on("default", dead)


async def test_a_delayed_holder_takes_nothing_from_its_successor(
    aws: AwsFront, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    clock = Clock()
    monkeypatch.setattr(Table, "now", lambda _table: clock.now)
    locks = (await opened()).launches
    async with AsyncExitStack() as late_block, AsyncExitStack() as block:
        late = await late_block.enter_async_context(locks.held("default"))
        clock.advance(31)
        lock = await block.enter_async_context(locks.held("default"))
        assert late is not None
        assert lock is not None
        await locks.ended("default", late, "i-late")
        await late_block.aclose()
        assert await locks.hold_on("default", lock)
    async with locks.held("default") as third:
        assert third is not None
        assert (third.generation, third.last_machine) == (lock.generation, "")


async def test_a_holder_may_extend_its_lock(aws: AwsFront, pool: Pool, monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    monkeypatch.setattr(Table, "now", lambda _table: clock.now)
    locks = (await opened()).launches
    async with locks.held("default") as lock:
        assert lock is not None
        clock.advance(20)
        assert await locks.hold_on("default", lock)
        clock.advance(20)  # the lock would have ended after 30
        async with locks.held("default") as other:
            assert other is None
