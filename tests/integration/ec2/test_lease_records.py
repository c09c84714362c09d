"""Leases of a machine: records that change on condition, even if a response is lost."""

from __future__ import annotations

import asyncio
import time

import pytest

import tasks.backends.ec2.lease
import tasks.leasing.launch_lock
import tasks.leasing.leases
from tasks.leasing.lease import Record
from tasks.leasing.table import Table
from tests.integration.ec2.lease_pool import MACHINE, UPDATE, closed_over, lease, leased, live, opened
from tests.support.aws.faults import lost_answer
from tests.support.aws.front import AwsFront
from tests.support.aws.pool import Pool
from tests.support.clock import Clock

pytestmark = pytest.mark.long("deploys a pool for each test: 1 to 4 s")

# Records


async def test_a_machine_without_a_record_has_no_lease(aws: AwsFront, pool: Pool):
    assert await (await opened()).records.get(MACHINE) == Record(MACHINE)


async def test_a_lease_is_in_the_record_until_it_is_returned(aws: AwsFront, pool: Pool):
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


async def test_a_renewal_extends_only_its_own_lease(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    one, other = lease(100), lease(200)
    await records.take(MACHINE, one)
    await records.take(MACHINE, other)
    until = time.time() + 1000
    assert await records.renew(MACHINE, one, until)
    ends = {each.token: each.until for each in (await records.get(MACHINE)).leases}
    assert ends == pytest.approx({one.token: until, other.token: other.until}, abs=0.01)


async def test_returning_a_lease_twice_changes_nothing(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    taken = lease()
    await records.take(MACHINE, taken)
    await records.release(MACHINE, taken)
    before = await records.get(MACHINE)
    await records.release(MACHINE, taken)
    assert await records.get(MACHINE) == before
    assert not await records.renew(MACHINE, taken, time.time() + 30)


async def test_a_closed_record_admits_no_lease_until_it_is_reopened(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    closed = await records.close(await records.get(MACHINE))
    assert closed is not None
    assert not await records.take(MACHINE, lease())
    await records.reopen(closed)
    assert await records.take(MACHINE, lease())


async def test_a_process_does_not_reopen_a_record_that_another_has_closed(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    first = await records.close(await records.get(MACHINE))
    second = await records.close(await records.get(MACHINE))
    assert first is not None
    assert second is not None
    await records.reopen(first)
    assert not await records.take(MACHINE, lease())


async def test_a_record_that_has_changed_since_it_was_read_is_not_closed(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    seen = await records.get(MACHINE)
    taken = lease()
    await records.take(MACHINE, taken)
    await records.release(MACHINE, taken)
    assert await records.close(seen) is None


@pytest.mark.always
async def test_a_simultaneous_lease_and_close_have_exactly_one_winner(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    for number in range(20):
        machine = f"i-{number:017x}"
        seen, taken = await records.get(machine), lease()
        took, closed = await asyncio.gather(records.take(machine, taken), records.close(seen))
        assert took is (closed is None)
        assert len((await records.get(machine)).leases) == took


async def test_one_of_two_processes_with_the_same_record_closes_it(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    seen = await records.get(MACHINE)
    closed = await asyncio.gather(*(records.close(seen) for _ in range(5)))
    assert sum(each is not None for each in closed) == 1


async def test_a_record_with_an_expired_lease_can_be_closed_and_its_holder_learns_of_it_at_renewal(
    aws: AwsFront, pool: Pool
):
    pool_ = await opened()
    ended, closed = await closed_over(pool_)
    assert closed.leases == (await pool_.records.get(MACHINE)).leases == ()
    assert not await pool_.records.renew(MACHINE, ended, time.time() + 30)
    assert not await pool_.records.take(MACHINE, ended)


async def test_an_expired_lease_is_renewed_if_the_record_was_not_closed(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    ended = await leased(pool_, seconds=-1)
    assert await pool_.records.renew(MACHINE, ended, time.time() + 30)
    assert await live(pool_) == [ended.token]


async def test_a_close_expires(aws: AwsFront, pool: Pool, monkeypatch: pytest.MonkeyPatch):
    clock = Clock()
    monkeypatch.setattr(Table, "now", lambda _table: clock.now)
    records = (await opened()).records
    assert await records.close(await records.get(MACHINE))
    clock.advance(tasks.leasing.leases.CLOSED_SECONDS - 1)
    assert not await records.take(MACHINE, lease())
    clock.advance(2)
    assert await records.take(MACHINE, lease())


async def test_the_time_of_the_first_sight_as_stopped_is_kept_until_a_lease(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    await records.note_stopped(MACHINE, 100.0)
    await records.note_stopped(MACHINE, 200.0)
    assert (await records.get(MACHINE)).stopped_at == 100.0
    await records.take(MACHINE, lease())
    assert (await records.get(MACHINE)).stopped_at == 0.0


# Lost answers


async def test_a_lease_whose_response_was_lost_is_taken_once(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    lost = aws.inject(lost_answer(), UPDATE)
    taken = await leased(pool_)
    assert len(lost.hits) == 1
    assert [each.token for each in (await pool_.records.get(MACHINE)).leases] == [taken.token]


async def test_a_close_whose_response_was_lost_recognizes_itself(aws: AwsFront, pool: Pool):
    records = (await opened()).records
    seen = await records.get(MACHINE)
    aws.inject(lost_answer(), UPDATE)
    closed = await records.close(seen)
    assert closed is not None
    assert (await records.get(MACHINE)).closed_by == closed.closed_by


async def test_a_return_whose_response_was_lost_is_no_error(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    taken = await leased(pool_)
    aws.inject(lost_answer(), UPDATE)
    await pool_.records.release(MACHINE, taken)
    assert (await pool_.records.get(MACHINE)).leases == ()
