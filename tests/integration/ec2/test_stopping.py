"""Machines that nobody uses are stopped, by whoever comes first; machines that somebody uses never are."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from prefect.logging import disable_run_logger

import flows.idle_shutdown
import tasks.backends.ec2.reaper
from flows.idle_shutdown import idle_shutdown, sweep_machines
from tasks.backends.ec2 import instances as ec2_machines
from tasks.backends.ec2.policy import Action, Decision, Why
from tasks.backends.ec2.pool import Pool as OpenPool
from tasks.backends.ec2.pool import open_pool
from tasks.backends.ec2.reaper import end, reap, sweep_disks
from tasks.core.errors import CloudError
from tasks.leasing.lease import Lease, Record
from tasks.leasing.leases import CLOSED_SECONDS
from tasks.settings.settings import Settings
from tests.integration.ec2.test_acquire import acquired
from tests.support.aws.faults import error, held
from tests.support.aws.front import AwsFront
from tests.support.aws.launches import launch, state
from tests.support.aws.machine import Machine
from tests.support.aws.machines import Machines
from tests.support.aws.plan import Plan
from tests.support.aws.pool import Pool
from tests.support.aws.visits import ask, serving
from tests.support.aws.wire import Call
from tests.support.waiting import PATIENCE, until_async

AT_ONCE = 0.00001
"""Minutes after which a machine is idle."""
WATCHDOG = {"HEARTH_IDLE_SECONDS": "1", "HEARTH_POLL_SECONDS": "0.1"}


async def opened(idle_minutes: float = AT_ONCE, **ec2: Any) -> OpenPool:
    return await open_pool(Settings(idle_minutes=idle_minutes, ec2=ec2))


async def seen(pool: OpenPool, name: str) -> ec2_machines.Machine:
    found = await ec2_machines.machine(pool.aws, name)
    assert found is not None
    return found


async def leased(pool: OpenPool, name: str, seconds: float = 36_000) -> Lease:
    taken = Lease("paper on desk", 2, time.time() + seconds)
    assert await pool.records.take(name, taken)
    return taken


def stopped(aws: AwsFront, pool: Pool) -> str:
    name = launch(aws, pool)
    aws.client("ec2").stop_instances(InstanceIds=[name])
    return name


def use(machine: Machine, keep_alive: str) -> None:
    """Have it load its model and keep it, as somebody who knows nothing of leases does."""
    body = {"model": machine.plan.model, "keep_alive": keep_alive}
    httpx.post(f"{machine.url}/api/generate", json=body, timeout=PATIENCE).raise_for_status()


def closing(call: Call) -> bool:
    """Whether a call closes a record."""
    return "closed_until = :until" in call.parameters.get("UpdateExpression", "")


# One machine


@pytest.mark.parametrize(
    ("market", "action", "left"),
    [("on-demand", Action.STOP, "stopped"), ("spot", Action.TERMINATE, "terminated")],
)
async def test_an_idle_machine_is_put_away(aws: AwsFront, pool: Pool, market: str, action: Action, left: str):
    pool_ = await opened()
    name = launch(aws, pool, market)
    decision = await reap(pool_, await seen(pool_, name))
    assert (decision.action, decision.why) == (action, Why.IDLE)
    assert state(aws, name) == left


async def test_a_machine_that_was_stopped_is_looked_at_again_when_it_may_be_terminated(aws: AwsFront, pool: Pool):
    pool_ = await opened(terminate_hours=2)
    name = launch(aws, pool)
    before = time.time()
    decision = await reap(pool_, await seen(pool_, name))
    assert before + 7200 <= decision.look_again_at <= time.time() + 7200


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


async def test_a_machine_is_kept_for_its_idle_time_after_a_dead_run_s_lease(aws: AwsFront, pool: Pool):
    pool_ = await opened(idle_minutes=600)
    name = launch(aws, pool)
    aws.lifecycle.date_back(name, 3600)
    dead = await leased(pool_, name, -1)
    decision = await reap(pool_, await seen(pool_, name))
    assert decision == Decision(Action.KEEP, Why.WARM, pytest.approx(dead.until + 36_000, abs=0.01))


async def test_a_machine_that_answers_somebody_without_a_lease_is_kept(aws: AwsFront, pool: Pool, machines: Machines):
    pool_ = await opened()
    name = launch(aws, pool)
    machine, before = serving(machines), time.time()
    use(machine, "10h")
    used = time.time()
    decision = await reap(pool_, await seen(pool_, name))
    assert (decision.action, decision.why) == (Action.KEEP, Why.ACTIVE)
    assert before + 36_000 - 1 <= decision.look_again_at <= used + 36_000 + 1
    assert state(aws, name) == "running"


async def test_a_model_that_is_pinned_keeps_no_machine_up(aws: AwsFront, pool: Pool, machines: Machines):
    pool_ = await opened()
    name = launch(aws, pool)
    use(serving(machines), "100h")
    assert (await reap(pool_, await seen(pool_, name))).action is Action.STOP


async def test_a_request_between_the_look_and_the_close_keeps_the_machine_and_lets_leases_in(
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


async def test_the_clock_of_a_machine_that_was_found_stopped_starts_at_the_first_look(aws: AwsFront, pool: Pool):
    pool_ = await opened(terminate_hours=1)
    name = stopped(aws, pool)
    before = time.time()
    first = await reap(pool_, await seen(pool_, name))
    looked = time.time()
    second = await reap(pool_, await seen(pool_, name))
    assert (first.action, first.why) == (Action.KEEP, Why.STOPPED)
    assert before + 3600 - 0.01 <= first.look_again_at <= looked + 3600 + 0.01
    assert second == Decision(Action.KEEP, Why.STOPPED, pytest.approx(first.look_again_at, abs=0.01))


async def test_a_machine_that_was_stopped_for_long_is_terminated(aws: AwsFront, pool: Pool):
    name = stopped(aws, pool)
    pool_ = await opened(terminate_hours=1)
    await reap(pool_, await seen(pool_, name))
    pool_ = await opened(terminate_hours=0)
    decision = await reap(pool_, await seen(pool_, name))
    assert (decision.action, decision.why) == (Action.TERMINATE, Why.STOPPED_LONG)
    assert state(aws, name) == "terminated"


async def test_the_record_of_a_machine_that_is_gone_is_forgotten(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    name = launch(aws, pool)
    await leased(pool_, name)
    aws.client("ec2").terminate_instances(InstanceIds=[name])
    assert (await reap(pool_, await seen(pool_, name))).action is Action.FORGET
    assert await pool_.records.get(name) == Record(name)


async def test_a_machine_that_is_being_stopped_is_left_alone(aws: AwsFront, pool: Pool):
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


async def test_a_lease_of_one_s_own_does_not_keep_a_machine(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    name = launch(aws, pool)
    decision = await end(pool_, await seen(pool_, name), Why.ASKED, mine=await leased(pool_, name))
    assert decision.action is Action.STOP
    assert state(aws, name) == "stopped"


async def test_by_force_a_machine_is_ended_whoever_leases_it_and_they_learn_of_it(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    name = launch(aws, pool, "spot")
    other = await leased(pool_, name)
    decision = await end(pool_, await seen(pool_, name), Why.ASKED, force=True)
    assert decision.action is Action.TERMINATE
    assert state(aws, name) == "terminated"
    assert not await pool_.records.renew(name, other, time.time() + 60)


@pytest.mark.parametrize("why", [Why.NEVER_WARM, Why.ASKED])
async def test_what_never_got_warm_or_is_stopped_already_is_terminated(aws: AwsFront, pool: Pool, why: Why):
    pool_ = await opened()
    name = stopped(aws, pool) if why is Why.ASKED else launch(aws, pool)
    assert (await end(pool_, await seen(pool_, name), why)).action is Action.TERMINATE
    assert state(aws, name) == "terminated"


# Disks


async def test_an_old_disk_that_no_machine_has_is_deleted_and_nothing_else(
    aws: AwsFront, pool: Pool, pools: Callable[..., Pool], machines: Machines
):
    pools("gpu")
    pool_ = await opened()
    launch(aws, pool)  # has a disk, too

    def disk(owner: str) -> str:
        tags = {"ResourceType": "volume", "Tags": [{"Key": "hearth:pool", "Value": owner}]}
        place = {"AvailabilityZone": "us-east-1a", "Size": 100}
        return aws.behind("ec2").create_volume(**place, TagSpecifications=[tags])["VolumeId"]

    before = set(machines.disks())
    old, others, young = disk("default"), disk("gpu"), disk("default")
    aws.descriptions.disk_ages |= dict.fromkeys([old, others], tasks.backends.ec2.reaper._DISK_SECONDS + 60)
    assert await sweep_disks(pool_) == (old,)
    assert set(machines.disks()) == before | {others, young}


async def test_a_disk_that_another_sweep_has_deleted_is_no_error(
    aws: AwsFront, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tasks.backends.ec2.reaper, "_DISK_SECONDS", -1.0)
    pool_ = await opened()
    tags = {"ResourceType": "volume", "Tags": [{"Key": "hearth:pool", "Value": "default"}]}
    place = {"AvailabilityZone": "us-east-1a", "Size": 100}
    aws.behind("ec2").create_volume(**place, TagSpecifications=[tags])
    release = threading.Event()
    deletes = aws.inject(held(release), "DeleteVolume", times=2)
    sweeps = asyncio.gather(sweep_disks(pool_), sweep_disks(pool_))
    await until_async(lambda: len(deletes.hits) == 2)
    release.set()
    deleted = await sweeps
    assert sorted(map(len, deleted)) == [0, 1]


# Races


async def test_a_lease_between_the_stopper_s_look_and_its_close_wins(aws: AwsFront, pool: Pool):
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


async def test_a_run_that_comes_while_its_machine_is_being_stopped_starts_it_again_and_can_read(
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


async def test_a_run_that_comes_while_its_spot_machine_is_being_ended_takes_another(
    aws: AwsFront, pool: Pool, machines: Machines
):
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


async def test_three_stoppers_at_once_stop_a_machine_once_and_none_gets_an_error(aws: AwsFront, pool: Pool):
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
async def test_stoppers_one_behind_the_other_get_no_error(aws: AwsFront, pool: Pool, market: str):
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


async def test_a_machine_that_could_not_be_stopped_lets_leases_in_again(aws: AwsFront, pool: Pool):
    pool_ = await opened()
    name = launch(aws, pool)
    aws.inject(error("OperationNotPermitted"), "StopInstances")
    with pytest.raises(CloudError, match="OperationNotPermitted"):
        await reap(pool_, await seen(pool_, name))
    await leased(pool_, name)


async def test_a_stopper_that_was_held_up_for_too_long_stops_nothing(
    aws: AwsFront, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tasks.backends.ec2.reaper, "_MARGIN_SECONDS", CLOSED_SECONDS)
    pool_ = await opened()
    name = launch(aws, pool)
    with pytest.raises(CloudError, match="took too long"):
        await reap(pool_, await seen(pool_, name))
    assert not aws.called("StopInstances")
    await leased(pool_, name)


# The flows


@pytest.fixture
def scheduled(aws: AwsFront, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, float]]]:
    """The looks that the flows ask Prefect for; the flows run as plain functions."""
    asked: list[tuple[str, float]] = []

    async def schedule(_: Settings, machine: str, at: float, *, released: bool) -> None:
        assert not released
        asked.append((machine, at))

    monkeypatch.setattr(flows.idle_shutdown, "schedule_idle_shutdown", schedule)
    monkeypatch.setenv("HEARTH_IDLE_MINUTES", str(AT_ONCE))
    with disable_run_logger():
        yield asked


async def test_one_machine_that_cannot_be_stopped_does_not_keep_the_sweep_from_the_others(
    aws: AwsFront, pool: Pool, scheduled: list
):
    names = [launch(aws, pool, "spot") for _ in range(3)]
    aws.inject(
        error("OperationNotPermitted"),
        "TerminateInstances",
        where=lambda call: names[1] in call.listed("InstanceId"),
    )
    with pytest.raises(CloudError, match="OperationNotPermitted"):
        await sweep_machines.fn()
    assert [state(aws, name) for name in names] == ["terminated", "running", "terminated"]
    await sweep_machines.fn()
    assert state(aws, names[1]) == "terminated"


async def test_the_sweep_tells_what_it_did(aws: AwsFront, pool: Pool, scheduled: list, pools: Callable[..., Pool]):
    names = [launch(aws, pool), launch(aws, pool, "spot")]
    elsewhere = launch(aws, pools("gpu"))
    assert set(await sweep_machines.fn()) == {f"{names[0]}: stop: idle", f"{names[1]}: terminate: idle"}
    assert state(aws, elsewhere) == "running"


async def test_two_sweeps_at_once_are_both_done_and_the_machine_is_stopped(aws: AwsFront, pool: Pool, scheduled: list):
    """No limit of Prefect's keeps them apart: AWS takes the second stop of a machine as done."""
    name = launch(aws, pool)
    told = await asyncio.gather(sweep_machines.fn(), sweep_machines.fn())
    assert f"{name}: stop: idle" in [line for lines in told for line in lines]
    assert len(aws.called("StopInstances")) == 1
    assert state(aws, name) == "stopped"


async def test_the_idle_shutdown_touches_no_machine_of_another_pool(
    aws: AwsFront, pool: Pool, scheduled: list, pools: Callable[..., Pool]
):
    name = launch(aws, pools("gpu"))
    assert await idle_shutdown.fn(name) == f"{name}: no machine of this pool"
    assert state(aws, name) == "running"
    assert scheduled == []


async def test_the_idle_shutdown_of_a_leased_machine_looks_again_after_the_lease(
    aws: AwsFront, pool: Pool, scheduled: list
):
    name = launch(aws, pool)
    taken = await leased(await opened(), name)
    assert await idle_shutdown.fn(name) == f"{name}: keep: leased"
    assert scheduled == [(name, pytest.approx(taken.until, abs=0.1))]


async def test_after_a_terminated_machine_nothing_is_scheduled(aws: AwsFront, pool: Pool, scheduled: list):
    name = launch(aws, pool, "spot")
    assert await idle_shutdown.fn(name) == f"{name}: terminate: idle"
    assert await idle_shutdown.fn("i-00000000000000000") == "i-00000000000000000: no machine of this pool"
    assert scheduled == []


# The machine itself


def test_an_idle_machine_ends_itself_while_aws_is_out_of_reach(aws: AwsFront, pool: Pool, machines: Machines):
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
