"""The thread that renews a lease, and reports changes of the machine."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

import tasks.leasing.launch_lock
import tasks.leasing.leases
import tasks.leasing.renewer
from tasks.backends.base import Endpoint
from tasks.backends.ec2.connection import Connection
from tasks.backends.ec2.lease import InstanceLease
from tasks.backends.ec2.pool import Pool as OpenPool
from tasks.core.interruption import Interruption
from tasks.leasing.lease import Lease, Record
from tests.integration.ec2.acquiring import acquired
from tests.integration.ec2.lease_pool import LEASE_S, MACHINE, UPDATE, closed_over, leased, live, opened
from tests.support.aws.faults import error, held
from tests.support.aws.front import AwsFront
from tests.support.aws.launches import launch
from tests.support.aws.machines import Machines
from tests.support.aws.pool import Pool
from tests.support.waiting import PATIENCE, until, until_async

pytestmark = pytest.mark.long("deploys a pool for each test: 1 to 3 s")

UNREACHABLE = Connection(Endpoint("http://127.0.0.1:9"))

Keep = Callable[[OpenPool, str, Lease], Interruption]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renew leases often, however long they last."""
    monkeypatch.setattr(tasks.leasing.renewer, "RENEWALS", LEASE_S / 0.1)


@pytest.fixture
def keep(aws: AwsFront) -> Iterator[Keep]:
    """Start leases that are renewed, and end with the test."""
    leases: list[InstanceLease] = []

    def start(pool: OpenPool, machine: str, kept: Lease) -> Interruption:
        leases.append(InstanceLease(pool, machine, kept, started=False, connection=UNREACHABLE))
        if machine != MACHINE:  # which EC2 does not know
            leases[-1].watch()
        return leases[-1].interruption

    yield start
    aws.heal()
    for lease in leases:
        lease.release()
    for lease in leases:
        assert lease.renewer.wait_ended(PATIENCE)


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


@pytest.mark.always
async def test_the_lease_is_renewed(aws: AwsFront, pool: Pool, keep: Keep):
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


async def test_a_hanging_check_of_the_machine_does_not_block_the_renewal(aws: AwsFront, pool: Pool, keep: Keep):
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


async def test_a_lease_survives_an_outage_of_aws_shorter_than_itself(aws: AwsFront, pool: Pool, keep: Keep):
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


async def test_a_lost_lease_is_taken_again_if_the_record_is_open(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    ended, closed = await closed_over(pool_)
    await pool_.records.reopen(closed)
    interruption = keep(pool_, MACHINE, ended)
    await until_async(lambda: live(pool_))
    assert await live(pool_) == [ended.token]
    assert not interruption.announced


async def test_a_lease_that_is_taken_again_protects_at_once(aws: AwsFront, pool: Pool, keep: Keep):
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


async def test_the_run_learns_that_another_process_stops_the_machine(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    ended, _ = await closed_over(pool_)
    interruption = keep(pool_, MACHINE, ended)
    assert await announced(interruption) == f"{MACHINE} is being stopped by another process"
    assert not interruption.gone


async def test_the_run_learns_that_the_machine_announces_its_end(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    name = launch(aws, pool)
    interruption = keep(pool_, name, await leased(pool_, name))
    at = datetime.now(UTC) + timedelta(seconds=3600)
    tag = {"Key": "hearth:notice", "Value": f"{at:%Y-%m-%dT%H:%M:%SZ} spot-interruption"}
    aws.client("ec2").create_tags(Resources=[name], Tags=[tag])
    assert await announced(interruption) == f"{name} goes at {at:%H:%M:%S} UTC (spot-interruption)"
    assert not interruption.gone


async def test_the_run_learns_that_the_spot_request_announces_an_interruption(
    aws: AwsFront, pool: Pool, machines: Machines, keep: Keep
):
    pool_ = await opened()
    name = launch(aws, pool, "spot")
    interruption = keep(pool_, name, await leased(pool_, name))
    machines.interrupt(machines.one(), after=36_000)
    assert (await announced(interruption)).endswith("(spot: marked-for-termination)")
    assert not interruption.gone


async def test_the_run_learns_that_the_machine_was_stopped(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    name = launch(aws, pool)
    interruption = keep(pool_, name, await leased(pool_, name))
    aws.client("ec2").stop_instances(InstanceIds=[name])
    assert await gone(interruption) == f"{name} is stopped"


async def test_the_run_learns_that_the_machine_has_vanished(aws: AwsFront, pool: Pool, machines: Machines, keep: Keep):
    pool_ = await opened()
    name = launch(aws, pool, "spot")
    interruption = keep(pool_, name, await leased(pool_, name))
    machines.vanish(machines.one())
    assert await gone(interruption) == f"{name} is terminated"


async def test_a_machine_that_ec2_does_not_know_in_two_checks_is_not_gone(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    name = launch(aws, pool)
    unknown = aws.inject(error("InvalidInstanceID.NotFound"), "DescribeInstances", times=2)
    interruption = keep(pool_, name, await leased(pool_, name))
    await until_async(lambda: len(aws.called("DescribeInstances")) >= 5)
    assert len(unknown.hits) == 2
    assert not interruption.announced


async def test_a_machine_that_ec2_no_longer_knows_is_gone(aws: AwsFront, pool: Pool, keep: Keep):
    pool_ = await opened()
    name = launch(aws, pool)
    interruption = keep(pool_, name, await leased(pool_, name))
    aws.inject(error("InvalidInstanceID.NotFound"), "DescribeInstances", times=None)
    assert await gone(interruption) == f"{name} is gone"


async def test_the_renewal_ends_with_the_release(aws: AwsFront, pool: Pool, machines: Machines):
    used, allocation = await acquired()
    renewer = allocation.lease.renewer
    await used.release(allocation)
    assert await asyncio.to_thread(renewer.wait_ended, PATIENCE)
    assert not allocation.interruption.announced


async def test_a_renewal_in_progress_does_not_restore_a_returned_lease(aws: AwsFront, pool: Pool, machines: Machines):
    used, allocation = await acquired(lease_seconds=LEASE_S)
    release = threading.Event()
    renewal = aws.inject(held(release), UPDATE, where=lambda call: "ends_at" in call.parameters["UpdateExpression"])
    await until_async(lambda: renewal.hits)
    await used.release(allocation)
    release.set()
    await asyncio.to_thread(allocation.lease.renewer.wait_ended, PATIENCE)
    assert (await (await opened()).records.get(allocation.machine.id)).leases == ()
