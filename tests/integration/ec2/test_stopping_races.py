"""A machine that is stopped while a run needs it, or while others stop it, is stopped once or used."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import tasks.backends.ec2.reaper
from tasks.backends.ec2.policy import Action, Why
from tasks.backends.ec2.reaper import reap
from tasks.core.errors import CloudError
from tasks.leasing.leases import CLOSED_SECONDS
from tests.integration.ec2.acquiring import acquired
from tests.integration.ec2.idle_machines import closing, leased, opened, seen
from tests.support.aws.faults import error, held
from tests.support.aws.front import AwsFront
from tests.support.aws.launches import launch, state
from tests.support.aws.machines import Machines
from tests.support.aws.pool import Pool
from tests.support.aws.visits import ask, serving
from tests.support.waiting import until_async

pytestmark = pytest.mark.long("launches a machine for each test: 2 to 5 s")


@pytest.mark.always
async def test_a_lease_between_check_and_close_wins(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    name = launch(aws, pool)
    release = threading.Event()
    close = aws.inject(held(release), "UpdateItem", where=closing)
    tending = asyncio.create_task(reap(pool_, await seen(pool_, name)))
    await until_async(lambda: close.hits)
    taken = await leased(pool_, name)
    release.set()
    decision = await tending
    assert (decision.action, decision.why) == (Action.KEEP, Why.LEASED)
    assert state(aws, name) == "running"
    assert [each.token for each in (await pool_.records.get(name)).leases] == [taken.token]


async def looking(aws: AwsFront) -> asyncio.Task[Any]:
    """Begin to acquire a machine, and return when those that there are have been looked at."""
    before = len(aws.called("DescribeInstances"))
    acquiring = asyncio.create_task(acquired())
    await until_async(lambda: len(aws.called("DescribeInstances")) > before + 1)
    return acquiring


async def test_a_run_during_the_stop_of_its_machine_starts_it_again_and_reads(
    aws: AwsFront, pool: Pool, machines: Machines
):
    pool_ = await opened()
    name = launch(aws, pool)
    serving(machines)
    aws.takes(stopping=0.5)
    release = threading.Event()
    stop = aws.inject(held(release), "StopInstances")
    tending = asyncio.create_task(reap(pool_, await seen(pool_, name)))
    await until_async(lambda: stop.hits)
    acquiring = await looking(aws)
    release.set()
    used, allocation = await acquiring
    assert (await tending).action is Action.STOP
    assert (allocation.machine.id, allocation.started) == (name, True)
    assert machines[name].boots == 2
    assert ask(machines[name])["done"]
    assert machines.running() == [name]
    await used.release(allocation)


async def test_a_run_during_the_end_of_its_spot_machine_uses_another(aws: AwsFront, pool: Pool, machines: Machines):
    pool_ = await opened()
    name = launch(aws, pool, "spot")
    serving(machines)
    release = threading.Event()
    end_it = aws.inject(held(release), "TerminateInstances")
    tending = asyncio.create_task(reap(pool_, await seen(pool_, name)))
    await until_async(lambda: end_it.hits)
    acquiring = await looking(aws)
    release.set()
    used, allocation = await acquiring
    await tending
    assert machines.running() == [allocation.machine.id] != [name]
    assert ask(machines[allocation.machine.id])["done"]
    await used.release(allocation)


async def test_three_simultaneous_processes_stop_a_machine_once_without_an_error(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    name = launch(aws, pool)
    found = await seen(pool_, name)
    release = threading.Event()
    closes = aws.inject(held(release), "UpdateItem", times=3, where=closing)
    tending = asyncio.gather(*(reap(pool_, found) for _ in range(3)))
    await until_async(lambda: len(closes.hits) == 3)  # all have looked before
    release.set()
    decisions = await tending
    assert sorted(decision.action for decision in decisions) == [Action.KEEP, Action.KEEP, Action.STOP]
    assert all(call.outcome == "ok" for call in aws.called("StopInstances"))
    assert state(aws, name) == "stopped"


@pytest.mark.parametrize("market", ["on-demand", "spot"])
async def test_processes_that_stop_a_machine_one_after_the_other_get_no_error(aws: AwsFront, pool: Pool, market: str):
    pool_ = await opened()
    name = launch(aws, pool, market)
    found = await seen(pool_, name)
    release = threading.Event()
    stop = aws.inject(held(release), "StopInstances", "TerminateInstances")
    first = asyncio.create_task(reap(pool_, found))
    await until_async(lambda: stop.hits)
    await reap(pool_, found)
    release.set()
    await first
    assert state(aws, name) in {"stopped", "terminated"}
    await reap(pool_, await seen(pool_, name))


async def test_a_machine_that_could_not_be_stopped_admits_leases_again(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    name = launch(aws, pool)
    aws.inject(error("OperationNotPermitted"), "StopInstances")
    with pytest.raises(CloudError, match="OperationNotPermitted"):
        await reap(pool_, await seen(pool_, name))
    await leased(pool_, name)


async def test_a_process_that_was_delayed_too_long_stops_nothing(
    aws: AwsFront, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tasks.backends.ec2.reaper, "MARGIN_SECONDS", CLOSED_SECONDS)
    pool_ = await opened()
    name = launch(aws, pool)
    with pytest.raises(CloudError, match="the deadline for it passed"):
        await reap(pool_, await seen(pool_, name))
    assert not aws.called("StopInstances")
    await leased(pool_, name)
