"""Machines that nobody uses are stopped by whoever checks them first; machines in use never are."""

from __future__ import annotations

import asyncio
import threading
import time

import httpx
import pytest

from tasks.backends.ec2.policy import Action, Decision, Why
from tasks.backends.ec2.reaper import end, reap
from tasks.leasing.lease import Record
from tests.integration.ec2.acquiring import acquired
from tests.integration.ec2.idle_machines import closing, leased, opened, seen, stopped
from tests.support.aws.faults import held
from tests.support.aws.front import AwsFront
from tests.support.aws.launches import launch, state
from tests.support.aws.machine import Machine
from tests.support.aws.machines import Machines
from tests.support.aws.plan import Plan
from tests.support.aws.pool import Pool
from tests.support.aws.visits import serving
from tests.support.waiting import PATIENCE, until_async

pytestmark = pytest.mark.long("launches a machine for each test: 1 to 11 s")

WATCHDOG = {"HEARTH_IDLE_SECONDS": "1", "HEARTH_POLL_SECONDS": "0.1"}


def use(machine: Machine, keep_alive: str) -> None:
    """Have it load its model and keep it, as somebody who knows nothing of leases does."""
    body = {"model": machine.plan.model, "keep_alive": keep_alive}
    httpx.post(f"{machine.url}/api/generate", json=body, timeout=PATIENCE).raise_for_status()


# One machine


@pytest.mark.always
@pytest.mark.parametrize(
    ("market", "action", "left"),
    [("on-demand", Action.STOP, "stopped"), ("spot", Action.TERMINATE, "terminated")],
)
async def test_an_idle_machine_is_stopped(aws: AwsFront, pool: Pool, market: str, action: Action, left: str):
    pool_ = await opened()
    name = launch(aws, pool, market)
    decision = await reap(pool_, await seen(pool_, name))
    assert (decision.action, decision.why) == (action, Why.IDLE)
    assert state(aws, name) == left


async def test_a_stopped_machine_is_checked_again_when_it_may_be_terminated(aws: AwsFront, pool: Pool):
    pool_ = await opened(terminate_hours=2)
    name = launch(aws, pool)
    before = time.time()
    decision = await reap(pool_, await seen(pool_, name))
    assert before + 7200 <= decision.look_again_at <= time.time() + 7200


@pytest.mark.always
async def test_a_leased_machine_is_kept_for_its_idle_time_after_the_lease(aws: AwsFront, pool: Pool):
    pool_ = await opened(idle_minutes=600)
    name = launch(aws, pool)
    taken = await leased(pool_, name)
    decision = await reap(pool_, await seen(pool_, name))
    assert decision == Decision(Action.KEEP, Why.LEASED, pytest.approx(taken.until + 36_000, abs=0.01))
    assert state(aws, name) == "running"


async def test_a_young_machine_is_kept_for_its_idle_time_after_its_launch(aws: AwsFront, pool: Pool):
    pool_ = await opened(idle_minutes=600)
    name = launch(aws, pool)
    decision = await reap(pool_, await seen(pool_, name))
    assert decision == Decision(Action.KEEP, Why.WARM, (await seen(pool_, name)).launched_at + 36_000)
    assert state(aws, name) == "running"


async def test_a_machine_is_kept_for_its_idle_time_after_the_lease_of_a_dead_run(aws: AwsFront, pool: Pool):
    pool_ = await opened(idle_minutes=600)
    name = launch(aws, pool)
    aws.lifecycle.date_back(name, 3600)
    dead = await leased(pool_, name, -1)
    decision = await reap(pool_, await seen(pool_, name))
    assert decision == Decision(Action.KEEP, Why.WARM, pytest.approx(dead.until + 36_000, abs=0.01))


async def test_a_machine_that_serves_a_client_without_a_lease_is_kept(aws: AwsFront, pool: Pool, machines: Machines):
    pool_ = await opened()
    name = launch(aws, pool)
    machine, before = serving(machines), time.time()
    use(machine, "10h")
    used = time.time()
    decision = await reap(pool_, await seen(pool_, name))
    assert (decision.action, decision.why) == (Action.KEEP, Why.ACTIVE)
    assert before + 36_000 - 1 <= decision.look_again_at <= used + 36_000 + 1
    assert state(aws, name) == "running"


async def test_a_pinned_model_does_not_keep_a_machine_running(aws: AwsFront, pool: Pool, machines: Machines):
    pool_ = await opened()
    name = launch(aws, pool)
    use(serving(machines), "100h")
    assert (await reap(pool_, await seen(pool_, name))).action is Action.STOP


async def test_a_request_between_check_and_close_keeps_the_machine_and_admits_leases(
    aws: AwsFront, pool: Pool, machines: Machines
):
    pool_ = await opened()
    name = launch(aws, pool)
    machine = serving(machines)
    release = threading.Event()
    close = aws.inject(held(release), "UpdateItem", where=closing)
    tending = asyncio.create_task(reap(pool_, await seen(pool_, name)))
    await until_async(lambda: close.hits)
    use(machine, "10h")
    release.set()
    assert (await tending).why is Why.ACTIVE
    assert state(aws, name) == "running"
    await leased(pool_, name)


async def test_a_machine_that_was_found_stopped_counts_from_the_first_check(aws: AwsFront, pool: Pool):
    pool_ = await opened(terminate_hours=1)
    name = stopped(aws, pool)
    before = time.time()
    first = await reap(pool_, await seen(pool_, name))
    looked = time.time()
    second = await reap(pool_, await seen(pool_, name))
    assert (first.action, first.why) == (Action.KEEP, Why.STOPPED)
    assert before + 3600 - 0.01 <= first.look_again_at <= looked + 3600 + 0.01
    assert second == Decision(Action.KEEP, Why.STOPPED, pytest.approx(first.look_again_at, abs=0.01))


async def test_a_machine_that_was_stopped_long_ago_is_terminated(aws: AwsFront, pool: Pool):
    name = stopped(aws, pool)
    pool_ = await opened(terminate_hours=1)
    await reap(pool_, await seen(pool_, name))
    pool_ = await opened(terminate_hours=0)
    decision = await reap(pool_, await seen(pool_, name))
    assert (decision.action, decision.why) == (Action.TERMINATE, Why.STOPPED_LONG)
    assert state(aws, name) == "terminated"


async def test_the_record_of_a_vanished_machine_is_deleted(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    name = launch(aws, pool)
    await leased(pool_, name)
    aws.client("ec2").terminate_instances(InstanceIds=[name])
    assert (await reap(pool_, await seen(pool_, name))).action is Action.FORGET
    assert await pool_.records.get(name) == Record(name)


async def test_a_machine_that_is_being_stopped_is_not_changed(aws: AwsFront, pool: Pool):
    aws.takes(stopping=36_000)
    pool_ = await opened()
    name = stopped(aws, pool)
    decision = await reap(pool_, await seen(pool_, name))
    assert (decision.action, decision.why) == (Action.KEEP, Why.CHANGING)
    assert len(aws.called("StopInstances")) == 1


# Ended on purpose


async def test_a_machine_that_others_lease_is_not_ended(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    name = launch(aws, pool)
    mine, other = await leased(pool_, name), await leased(pool_, name)
    decision = await end(pool_, await seen(pool_, name), Why.ASKED, mine=mine)
    assert decision == Decision(Action.KEEP, Why.LEASED, pytest.approx(other.until, abs=0.01))
    assert state(aws, name) == "running"


async def test_the_callers_own_lease_does_not_keep_a_machine(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    name = launch(aws, pool)
    decision = await end(pool_, await seen(pool_, name), Why.ASKED, mine=await leased(pool_, name))
    assert decision.action is Action.STOP
    assert state(aws, name) == "stopped"


async def test_with_force_a_leased_machine_is_ended_and_its_runs_learn_of_it(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    name = launch(aws, pool, "spot")
    other = await leased(pool_, name)
    decision = await end(pool_, await seen(pool_, name), Why.ASKED, force=True)
    assert decision.action is Action.TERMINATE
    assert state(aws, name) == "terminated"
    assert not await pool_.records.renew(name, other, time.time() + 60)


@pytest.mark.parametrize("why", [Why.NEVER_WARM, Why.ASKED])
async def test_a_machine_that_never_got_warm_or_is_stopped_is_terminated(aws: AwsFront, pool: Pool, why: Why):
    pool_ = await opened()
    name = stopped(aws, pool) if why is Why.ASKED else launch(aws, pool)
    assert (await end(pool_, await seen(pool_, name), why)).action is Action.TERMINATE
    assert state(aws, name) == "terminated"


# The machine itself


def test_an_idle_machine_ends_itself_while_aws_is_unreachable(aws: AwsFront, pool: Pool, machines: Machines):
    machines.plan = Plan(watchdog=WATCHDOG)
    launch(aws, pool)
    aws.down()
    machines.wait(lambda: machines.running() == [])


async def test_a_run_learns_from_its_machine_that_its_lifetime_ends(aws: AwsFront, pool: Pool, machines: Machines):
    machines.plan = Plan(watchdog={**WATCHDOG, "HEARTH_IDLE_SECONDS": "36000"})
    used, allocation = await acquired()
    # Its clocks start again with another watchdog, and are nearly over.
    machines[allocation.machine.id].watch({"HEARTH_LIFETIME_SECONDS": "6", "HEARTH_NOTICE_SECONDS": "5"})
    async with asyncio.timeout(PATIENCE):
        why = await allocation.interruption.wait_announced()
    # The first reason counts: that it is gone was told later.
    assert why.startswith(f"{allocation.machine.id} goes at ")
    assert why.endswith(" UTC (lifetime)")
    async with asyncio.timeout(PATIENCE):
        await allocation.interruption.wait_gone()
    assert machines.running() == []
    await used.release(allocation)
