"""Who may use a machine, and who may launch one: records that change on condition, and the thread that renews."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

import tasks.backends.ec2.lease_renewal
import tasks.leasing.launch_lock
import tasks.leasing.leases
from tasks.backends.ec2.connection import Connection
from tasks.backends.ec2.lease_renewal import LeaseRenewer
from tasks.backends.ec2.pool import Pool as OpenPool
from tasks.backends.ec2.pool import open_pool
from tasks.core.interruption import Interruption
from tasks.leasing.lease import Lease, Record
from tasks.leasing.table import Table
from tasks.settings.settings import Settings
from tests.integration.ec2.test_acquire import acquired
from tests.support.aws.faults import error, held, lost_answer
from tests.support.aws.front import AwsFront
from tests.support.aws.launches import launch
from tests.support.aws.machines import Machines
from tests.support.aws.pool import Pool
from tests.support.clock import Clock
from tests.support.waiting import PATIENCE, until, until_async

MACHINE = "i-0123456789abcdef0"
UPDATE = "UpdateItem"
NO_DOOR = Connection("http://127.0.0.1:9")

Keep = Callable[[OpenPool, str, Lease], Interruption]


LEASE_S = 36_000.0


async def opened() -> OpenPool:
    """Open the pool; its leases last for hours, and are renewed ten times a second."""
    return await open_pool(Settings(ec2={"poll_seconds": 0.1, "lease_seconds": LEASE_S}))


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renew leases often, however long they last."""
    monkeypatch.setattr(tasks.backends.ec2.lease_renewal, "_RENEWALS", LEASE_S / 0.1)


def lease(seconds: float = LEASE_S, holder: str = "paper on desk") -> Lease:
    return Lease(holder, 2, time.time() + seconds)


@pytest.fixture
def keep(aws: AwsFront) -> Iterator[Keep]:
    """Starts renewers that end with the test."""
    renewers: list[LeaseRenewer] = []

    def start(pool: OpenPool, machine: str, kept: Lease) -> Interruption:
        interruption = Interruption()
        renewers.append(LeaseRenewer(pool, machine, kept, interruption))
        if machine != MACHINE:  # which EC2 does not know
            renewers[-1].watch(NO_DOOR)
        return interruption

    yield start
    aws.heal()
    for renewer in renewers:
        renewer.stop()
    for renewer in renewers:
        renewer._thread.join(PATIENCE)
        assert not renewer._thread.is_alive()


async def leased(pool: OpenPool, machine: str = MACHINE, seconds: float = LEASE_S) -> Lease:
    taken = lease(seconds)
    assert await pool.records.take(machine, taken)
    return taken


async def closed_over(pool: OpenPool) -> tuple[Lease, Record]:
    """A lease that ended, on a record that somebody has closed since."""
    ended = await leased(pool, seconds=-1)
    closed = await pool.records.close(await pool.records.get(MACHINE))
    assert closed is not None
    return ended, closed


async def live(pool: OpenPool, machine: str = MACHINE) -> list[str]:
    """The tokens of the leases that have not ended."""
    return [one.token for one in (await pool.records.get(machine)).live(time.time())]


async def renewed(pool: OpenPool, machine: str, taken: Lease) -> bool:
    """Has the end of a lease moved since it was taken?"""
    (found,) = (await pool.records.get(machine)).leases
    return found.until > taken.until + 0.01


async def with_leases(pool: OpenPool) -> Record | None:
    """Return the record once there are leases in it."""
    record = await pool.records.get(MACHINE)
    return record if record.leases else None


async def announced(interruption: Interruption) -> str:
    async with asyncio.timeout(PATIENCE):
        return await interruption.wait_announced()


async def gone(interruption: Interruption) -> str:
    async with asyncio.timeout(PATIENCE):
        await interruption.wait_gone()
    return interruption.why


# Records


async def test_a_machine_without_a_record_is_nobodys(aws: AwsFront, pool: Pool):
    assert await (await opened()).records.get(MACHINE) == Record(MACHINE)


async def test_a_lease_stands_in_the_record_until_it_is_given_back(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    one, other = lease(), lease(holder="other on desk")
    assert await records.take(MACHINE, one)
    assert await records.take(MACHINE, other)
    found = (await records.get(MACHINE)).leases
    assert {(each.token, each.holder, each.slots) for each in found} == {
        (one.token, "paper on desk", 2),
        (other.token, "other on desk", 2),
    }
    before = round(time.time(), 3)
    await records.release(MACHINE, one)
    record = await records.get(MACHINE)
    assert [each.token for each in record.leases] == [other.token]
    assert before <= record.released_at <= time.time()


async def test_a_renewal_moves_the_end_of_its_own_lease_alone(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    one, other = lease(100), lease(200)
    await records.take(MACHINE, one)
    await records.take(MACHINE, other)
    until = time.time() + 1000
    assert await records.renew(MACHINE, one, until)
    ends = {each.token: each.until for each in (await records.get(MACHINE)).leases}
    assert ends == pytest.approx({one.token: until, other.token: other.until}, abs=0.01)


async def test_a_lease_that_was_given_back_twice_changes_nothing(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    taken = lease()
    await records.take(MACHINE, taken)
    await records.release(MACHINE, taken)
    before = await records.get(MACHINE)
    await records.release(MACHINE, taken)
    assert await records.get(MACHINE) == before
    assert not await records.renew(MACHINE, taken, time.time() + 30)


async def test_a_closed_record_lets_no_lease_in_until_it_is_reopened(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    closed = await records.close(await records.get(MACHINE))
    assert closed is not None
    assert not await records.take(MACHINE, lease())
    await records.reopen(closed)
    assert await records.take(MACHINE, lease())


async def test_a_stopper_does_not_reopen_what_another_has_closed_since(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    first = await records.close(await records.get(MACHINE))
    second = await records.close(await records.get(MACHINE))
    assert first is not None
    assert second is not None
    await records.reopen(first)
    assert not await records.take(MACHINE, lease())


async def test_a_record_that_has_changed_since_it_was_seen_is_not_closed(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    seen = await records.get(MACHINE)
    taken = lease()
    await records.take(MACHINE, taken)
    await records.release(MACHINE, taken)
    assert await records.close(seen) is None


async def test_of_a_lease_and_a_close_at_the_same_moment_exactly_one_wins(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    for number in range(20):
        machine = f"i-{number:017x}"
        seen, taken = await records.get(machine), lease()
        took, closed = await asyncio.gather(records.take(machine, taken), records.close(seen))
        assert took is (closed is None)
        assert len((await records.get(machine)).leases) == took


async def test_of_stoppers_that_have_seen_the_same_one_closes(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    seen = await records.get(MACHINE)
    closed = await asyncio.gather(*(records.close(seen) for _ in range(5)))
    assert sum(each is not None for each in closed) == 1


async def test_a_lease_that_ended_can_be_closed_over_and_its_holder_learns_of_it_at_renewal(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    ended, closed = await closed_over(pool_)
    assert closed.leases == (await pool_.records.get(MACHINE)).leases == ()
    assert not await pool_.records.renew(MACHINE, ended, time.time() + 30)
    assert not await pool_.records.take(MACHINE, ended)


async def test_a_lease_that_ended_and_that_nobody_minded_is_renewed(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    ended = await leased(pool_, seconds=-1)
    assert await pool_.records.renew(MACHINE, ended, time.time() + 30)
    assert await live(pool_) == [ended.token]


async def test_closing_ends_by_itself(aws: AwsFront, pool: Pool, monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    monkeypatch.setattr(Table, "now", lambda _table: clock.now)
    records = (await opened()).records
    assert await records.close(await records.get(MACHINE))
    clock.advance(tasks.leasing.leases.CLOSED_SECONDS - 1)
    assert not await records.take(MACHINE, lease())
    clock.advance(2)
    assert await records.take(MACHINE, lease())


async def test_when_it_was_first_seen_stopped_stays_until_a_lease_comes(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    await records.note_stopped(MACHINE, 100.0)
    await records.note_stopped(MACHINE, 200.0)
    assert (await records.get(MACHINE)).stopped_at == 100.0
    await records.take(MACHINE, lease())
    assert (await records.get(MACHINE)).stopped_at == 0.0


# Lost answers


async def test_a_lease_whose_answer_was_lost_is_taken_once(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    lost = aws.inject(lost_answer(), UPDATE)
    taken = await leased(pool_)
    assert len(lost.hits) == 1
    assert [each.token for each in (await pool_.records.get(MACHINE)).leases] == [taken.token]


async def test_a_close_whose_answer_was_lost_knows_that_it_is_its_own(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    seen = await records.get(MACHINE)
    aws.inject(lost_answer(), UPDATE)
    closed = await records.close(seen)
    assert closed is not None
    assert (await records.get(MACHINE)).closed_by == closed.closed_by


async def test_a_return_whose_answer_was_lost_is_no_error(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    taken = await leased(pool_)
    aws.inject(lost_answer(), UPDATE)
    await pool_.records.release(MACHINE, taken)
    assert (await pool_.records.get(MACHINE)).leases == ()


async def test_a_launch_lock_whose_answer_was_lost_is_held(aws: AwsFront, pool: Pool):
    locks = (await opened()).launches
    aws.inject(lost_answer(), UPDATE)
    async with locks.held("default") as lock:
        assert lock is not None


# The launch lock


async def test_of_ten_that_want_to_launch_one_may(aws: AwsFront, pool: Pool):
    locks = (await opened()).launches
    everybody = asyncio.Barrier(10)

    async def want() -> bool:
        async with locks.held("default") as lock:
            await everybody.wait()
            return lock is not None

    assert sum(await asyncio.gather(*(want() for _ in range(10)))) == 1


async def test_the_lock_is_free_after_its_holder_and_the_lock_of_another_pool_at_any_time(aws: AwsFront, pool: Pool):
    locks = (await opened()).launches
    async with locks.held("default") as first, locks.held("gpu") as other:
        assert first is not None
        assert other is not None
    async with locks.held("default") as second:
        assert second is not None


async def test_each_launch_that_ended_makes_a_new_generation(aws: AwsFront, pool: Pool):
    locks = (await opened()).launches
    for brought, last in ((None, ""), ("i-1", ""), (None, "i-1")):
        async with locks.held("default") as lock:
            assert lock is not None
            assert lock.last_machine == last
            await locks.ended("default", lock, brought)
    async with locks.held("default") as lock:
        assert lock is not None
        assert (lock.generation, lock.last_machine) == (3, "i-1")


async def test_a_dead_holder_s_lock_ends_and_the_next_one_launches_in_the_same_generation(
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


async def test_a_holder_that_was_held_up_takes_nothing_from_the_one_that_came_after_it(
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


async def test_a_holder_may_hold_on(aws: AwsFront, pool: Pool, monkeypatch: pytest.MonkeyPatch):
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


# The renewer


async def test_the_keeper_renews(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    taken = await leased(pool_)
    keep(pool_, MACHINE, taken)
    await until_async(lambda: renewed(pool_, MACHINE, taken))
    assert await live(pool_) == [taken.token]


async def test_a_busy_event_loop_loses_no_lease(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    taken = await leased(pool_)
    before = len(aws.called(UPDATE))
    keep(pool_, MACHINE, taken)
    until(lambda: len(aws.called(UPDATE)) >= before + 3)  # and nothing else runs on this loop: that is the test
    assert await renewed(pool_, MACHINE, taken)
    assert await live(pool_) == [taken.token]


async def test_a_look_at_the_machine_that_hangs_does_not_keep_the_lease_from_being_renewed(
    aws: AwsFront, pool: Pool, keep: Keep
):
    pool_ = await opened()
    name = launch(aws, pool)
    taken = await leased(pool_, name)
    release = threading.Event()
    hung = aws.inject(held(release), "DescribeInstances", times=None)
    interruption = keep(pool_, name, taken)
    await until_async(lambda: hung.hits)
    before = len(aws.called(UPDATE))
    await until_async(lambda: len(aws.called(UPDATE)) >= before + 3)
    assert await renewed(pool_, name, taken)
    assert await live(pool_, name) == [taken.token]
    assert not interruption.announced
    release.set()


async def test_with_aws_down_for_less_than_the_lease_it_is_kept(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    name = launch(aws, pool)
    taken = await leased(pool_, name)
    before = len(aws.called(UPDATE))
    interruption = keep(pool_, name, taken)
    aws.down()
    await until_async(lambda: len(aws.called(UPDATE)) > before)
    aws.up()
    await until_async(lambda: renewed(pool_, name, taken))
    assert await live(pool_, name) == [taken.token]
    assert not interruption.announced


async def test_a_lease_that_was_lost_is_taken_back_where_nobody_minds(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    ended, closed = await closed_over(pool_)
    await pool_.records.reopen(closed)
    interruption = keep(pool_, MACHINE, ended)
    await until_async(lambda: live(pool_))
    assert await live(pool_) == [ended.token]
    assert not interruption.announced


async def test_a_lease_that_is_taken_back_protects_from_the_first_moment(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    ended, closed = await closed_over(pool_)
    await pool_.records.reopen(closed)
    release = threading.Event()
    # Only the renewal that takes it back gets through, and none of those after it.
    aws.inject(held(release), UPDATE, times=None, skip=2)
    keep(pool_, MACHINE, ended)
    record = await until_async(lambda: with_leases(pool_))
    release.set()
    assert record.live(time.time())


async def test_the_keeper_tells_that_somebody_else_stops_the_machine(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    ended, _ = await closed_over(pool_)
    interruption = keep(pool_, MACHINE, ended)
    assert await announced(interruption) == f"{MACHINE} is being stopped by somebody else"
    assert not interruption.gone


async def test_the_keeper_tells_what_the_machine_says_of_its_end(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    name = launch(aws, pool)
    interruption = keep(pool_, name, await leased(pool_, name))
    at = datetime.now(UTC) + timedelta(seconds=3600)
    tag = {"Key": "hearth:notice", "Value": f"{at:%Y-%m-%dT%H:%M:%SZ} spot-interruption"}
    aws.client("ec2").create_tags(Resources=[name], Tags=[tag])
    assert await announced(interruption) == f"{name} goes at {at:%H:%M:%S} UTC (spot-interruption)"
    assert not interruption.gone


async def test_the_keeper_tells_what_ec2_says_of_a_spot_request(
    aws: AwsFront, pool: Pool, machines: Machines, keep: Keep
):
    pool_ = await opened()
    name = launch(aws, pool, "spot")
    interruption = keep(pool_, name, await leased(pool_, name))
    machines.interrupt(machines.one(), after=36_000)
    assert (await announced(interruption)).endswith("(spot: marked-for-termination)")
    assert not interruption.gone


async def test_the_keeper_tells_that_the_machine_was_stopped(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    name = launch(aws, pool)
    interruption = keep(pool_, name, await leased(pool_, name))
    aws.client("ec2").stop_instances(InstanceIds=[name])
    assert await gone(interruption) == f"{name} is stopped"


async def test_the_keeper_tells_that_the_machine_has_vanished(
    aws: AwsFront, pool: Pool, machines: Machines, keep: Keep
):
    pool_ = await opened()
    name = launch(aws, pool, "spot")
    interruption = keep(pool_, name, await leased(pool_, name))
    machines.vanish(machines.one())
    assert await gone(interruption) == f"{name} is terminated"


async def test_a_machine_that_ec2_does_not_know_for_two_looks_has_not_gone(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    name = launch(aws, pool)
    unknown = aws.inject(error("InvalidInstanceID.NotFound"), "DescribeInstances", times=2)
    interruption = keep(pool_, name, await leased(pool_, name))
    await until_async(lambda: len(aws.called("DescribeInstances")) >= 5)
    assert len(unknown.hits) == 2
    assert not interruption.announced


async def test_a_machine_that_ec2_knows_no_more_has_gone(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    name = launch(aws, pool)
    interruption = keep(pool_, name, await leased(pool_, name))
    aws.inject(error("InvalidInstanceID.NotFound"), "DescribeInstances", times=None)
    assert await gone(interruption) == f"{name} is gone"


async def test_the_keeper_ends_with_the_release(aws: AwsFront, pool: Pool, machines: Machines):
    used, allocation = await acquired()
    renewer = allocation.lease.renewer
    await used.release(allocation)
    await asyncio.to_thread(renewer._thread.join, PATIENCE)
    assert not renewer._thread.is_alive()
    assert not allocation.interruption.announced


async def test_a_renewal_under_way_does_not_bring_a_lease_back_that_is_given_back(
    aws: AwsFront, pool: Pool, machines: Machines
):
    used, allocation = await acquired(lease_seconds=LEASE_S)
    release = threading.Event()
    renewal = aws.inject(held(release), UPDATE, where=lambda call: "ends_at" in call.parameters["UpdateExpression"])
    await until_async(lambda: renewal.hits)
    await used.release(allocation)
    release.set()
    await asyncio.to_thread(allocation.lease.renewer._thread.join, PATIENCE)
    assert (await (await opened()).records.get(allocation.machine.id)).leases == ()
