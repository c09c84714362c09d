"""A run gets one machine: reused before started, started before launched, and never two where one is enough."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

import tasks.backends.ec2.connection
from tasks.backends.base import Allocation
from tasks.backends.ec2.backend import Ec2Backend
from tasks.core.errors import CapacityError, CloudError, ServerError
from tasks.core.events import Event, Progress, subscribe
from tasks.settings.settings import Settings
from tests.support.aws.faults import answer_held, denied, held, lost_answer, throttled
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.plan import Plan
from tests.support.aws.pool import Pool
from tests.support.aws.visits import tags
from tests.support.waiting import PATIENCE, until_async


def backend(**changed: Any) -> Ec2Backend:
    """Make the backend with quick polls; nothing expires while a test lasts."""
    ec2 = {"poll_seconds": 0.1, "lease_seconds": 36_000, "boot_seconds": 36_000, "start_seconds": 36_000} | changed
    idle = ec2.pop("idle_minutes", 600)
    warm = {"answer_seconds": ec2.pop("answer_seconds", PATIENCE)}
    return Ec2Backend(Settings(ec2=ec2, idle_minutes=idle, warm=warm))


async def acquired(**changed: Any) -> tuple[Ec2Backend, Allocation]:
    used = backend(**changed)
    return used, await used.acquire(2, "paper on desk")


def leases(aws: AwsFront, machine: str) -> dict[str, Any]:
    item = aws.behind("dynamodb").get_item(TableName="hearth-default", Key={"id": {"S": machine}})["Item"]
    return item["leases"]["M"]


async def test_with_no_machine_one_is_launched_and_answers(aws: AwsFront, pool: Pool, machines: Machines):
    used, allocation = await acquired()
    assert allocation.started
    assert allocation.machine.kind == "g4dn.xlarge spot in us-east-1a"
    async with allocation.endpoint.client(PATIENCE) as client:
        assert await client.version()
    assert machines.running() == [allocation.machine.id]
    (lease,) = leases(aws, allocation.machine.id).values()
    assert lease["M"]["holder"]["S"] == "paper on desk"
    await used.release(allocation)
    assert leases(aws, allocation.machine.id) == {}


async def test_a_running_machine_is_reused(aws: AwsFront, pool: Pool, machines: Machines):
    used, first = await acquired()
    await used.release(first)
    used, second = await acquired()
    assert (second.machine.id, second.started) == (first.machine.id, False)
    await used.release(second)
    assert len(machines.instances()) == 1


async def test_a_pending_machine_is_waited_for(aws: AwsFront, pool: Pool, machines: Machines):
    aws.takes(pending=1.0)
    one, other = await asyncio.gather(acquired(), acquired())
    assert one[1].machine.id == other[1].machine.id
    assert len(machines.instances()) == 1
    for used, allocation in (one, other):
        await used.release(allocation)


async def test_a_stopped_machine_is_started(aws: AwsFront, pool: Pool, machines: Machines):
    used, first = await acquired(spot_policy="on_demand")
    await used.release(first)
    aws.client("ec2").stop_instances(InstanceIds=[first.machine.id])
    machines.wait(lambda: machines.running() == [])
    used, second = await acquired(spot_policy="on_demand")
    assert (second.machine.id, second.started) == (first.machine.id, True)
    await used.release(second)


async def test_a_stopping_machine_is_waited_for_and_started(aws: AwsFront, pool: Pool, machines: Machines):
    used, first = await acquired(spot_policy="on_demand")
    await used.release(first)
    aws.takes(stopping=1.0)
    aws.client("ec2").stop_instances(InstanceIds=[first.machine.id])
    used, second = await acquired(spot_policy="on_demand")
    assert second.machine.id == first.machine.id
    assert len(machines.instances()) == 1
    await used.release(second)


async def test_a_machine_of_an_older_set_up_is_not_reused(aws: AwsFront, pool: Pool, machines: Machines):
    used, first = await acquired()
    await used.release(first)
    tag = [{"Key": "hearth:config", "Value": "older"}]
    aws.client("ec2").create_tags(Resources=[first.machine.id], Tags=tag)
    used, second = await acquired()
    assert second.machine.id != first.machine.id
    await used.release(second)


@pytest.mark.parametrize("invisible", [0.0, 2.0], ids=["seen at once", "not listed for two seconds"])
async def test_five_runs_at_the_same_moment_launch_one_machine(
    aws: AwsFront, pool: Pool, machines: Machines, invisible: float
):
    aws.invisible_for(invisible)
    got = await asyncio.gather(*(acquired() for _ in range(5)))
    assert len({allocation.machine.id for _, allocation in got}) == 1
    assert len(machines.instances()) == 1
    assert len(leases(aws, got[0][1].machine.id)) == 5
    for used, allocation in got:
        await used.release(allocation)


async def test_where_spot_is_out_in_one_zone_another_is_taken(aws: AwsFront, pool: Pool, machines: Machines):
    aws.capacity.none(market="spot", zone="a")
    used, allocation = await acquired()
    assert allocation.machine.kind == "g4dn.xlarge spot in us-east-1b"
    await used.release(allocation)


async def test_where_spot_is_out_of_a_type_the_next_is_taken(aws: AwsFront, pool: Pool, machines: Machines):
    aws.capacity.none(market="spot", type="g4dn.xlarge")
    used, allocation = await acquired()
    assert allocation.machine.kind.startswith("g4dn.2xlarge spot")
    await used.release(allocation)


async def test_where_spot_is_out_altogether_it_is_on_demand(aws: AwsFront, pool: Pool, machines: Machines):
    aws.capacity.none(market="spot")
    used, allocation = await acquired()
    assert allocation.machine.kind.startswith("g4dn.xlarge on-demand")
    await used.release(allocation)


async def test_places_that_a_fleet_did_not_try_are_asked_for_again(aws: AwsFront, pool: Pool, machines: Machines):
    for kind in ("g4dn.xlarge", "g4dn.2xlarge", "g5.xlarge"):
        aws.capacity.none(type=kind)
    used, allocation = await acquired(spot_policy="on_demand")
    assert allocation.machine.kind.startswith("g6.xlarge")
    await used.release(allocation)


async def test_asked_for_spot_alone_it_waits_for_capacity_and_then_says_so(
    aws: AwsFront, pool: Pool, machines: Machines
):
    aws.capacity.none(market="spot")
    with pytest.raises(CapacityError, match=r"InsufficientInstanceCapacity for g4dn.xlarge"):
        await acquired(spot_policy="spot", capacity_seconds=0.5)
    assert machines.instances() == {}


async def test_a_quota_of_zero_is_named_at_once(aws: AwsFront, pool: Pool, machines: Machines):
    aws.capacity.quota(market="spot")
    aws.capacity.quota(market="on-demand")
    with pytest.raises(CloudError, match=r"All G and VT Spot Instance Requests.*Running On-Demand G and VT instances"):
        async with asyncio.timeout(PATIENCE):
            await acquired(capacity_seconds=36_000)


async def test_a_missing_permission_names_the_action(aws: AwsFront, pool: Pool, machines: Machines):
    aws.inject(denied(), "CreateFleet", times=None)
    with pytest.raises(CloudError, match="does not permit CreateFleet"):
        await acquired()


async def test_throttling_backs_off(aws: AwsFront, pool: Pool, machines: Machines):
    injection = aws.inject(throttled(), "DescribeInstances", "CreateFleet", times=2)
    used, allocation = await acquired()
    assert len(injection.hits) == 2
    await used.release(allocation)


async def test_a_machine_that_does_not_boot_is_ended_and_its_log_is_told(aws: AwsFront, pool: Pool, machines: Machines):
    machines.plan = Plan(serves=False, stages=())
    acquiring = asyncio.create_task(acquired())
    machine = await asyncio.to_thread(machines.one)
    name = machine.id
    logs, stream = aws.behind("logs"), {"logGroupName": "/hearth/default", "logStreamName": name}
    logs.create_log_stream(**stream)
    logs.put_log_events(**stream, logEvents=[{"timestamp": int(time.time() * 1000), "message": "no space left"}])
    machines.tag(machine, "hearth:stage", "failed: pulling qwen2.5vl:7b")
    with pytest.raises(ServerError, match=r"failed: pulling qwen2.5vl:7b.*boot log ends: no space left"):
        await acquiring
    machines.wait(lambda: machines.running() == [])


async def test_a_machine_that_refuses_what_it_downloaded_and_ends_itself_is_not_replaced(
    aws: AwsFront, pool: Pool, machines: Machines
):
    """Another one would download the same, at the same price."""
    machines.plan = Plan(serves=False, stages=())
    acquiring = asyncio.create_task(acquired())
    machine = await asyncio.to_thread(machines.one)
    machines.tag(machine, "hearth:stage", "failed: ollama.tgz of Ollama 0.33.0 has the digest 1, not 2")
    machines.power_off(machine)
    with pytest.raises(ServerError, match=r"has the digest 1, not 2"):
        await acquiring
    assert len(machines.instances()) == 1


async def test_a_machine_that_never_answers_is_ended_at_the_deadline(aws: AwsFront, pool: Pool, machines: Machines):
    machines.plan = Plan(serves=False)
    with pytest.raises(ServerError, match="did not come up"):
        await acquired(boot_seconds=1, answer_seconds=0.5)
    machines.wait(lambda: machines.running() == [])


async def test_a_machine_that_hangs_is_replaced(aws: AwsFront, pool: Pool, machines: Machines):
    used, first = await acquired(boot_seconds=1200)
    await used.release(first)
    machines[first.machine.id].crash()
    aws.lifecycle.date_back(first.machine.id, 3600)  # the time of its boot is over, and that of its successor is not
    used, second = await acquired(boot_seconds=1200, answer_seconds=0.3)
    assert second.machine.id != first.machine.id
    machines.wait(lambda: machines.running() == [second.machine.id])
    await used.release(second)


async def test_a_machine_that_has_just_come_up_is_not_ended_because_ec2_was_slow(
    aws: AwsFront, pool: Pool, machines: Machines
):
    machines.plan = Plan(serves=False, stages=())
    told: list[Event] = []
    with subscribe(told.append):
        acquiring = asyncio.create_task(acquired(answer_seconds=0.05))
    await until_async(lambda: any(isinstance(each, Progress) and each.what.endswith(" boots") for each in told))
    release = threading.Event()
    look = aws.inject(held(release), "DescribeInstances")
    await until_async(lambda: look.hits)
    machine = machines.one()
    machine.serve()
    await asyncio.to_thread(machines.wait, lambda: machine.serving)
    machines.tag(machine, "hearth:stage", "serving")
    release.set()
    used, allocation = await acquiring
    assert allocation.machine.id == machine.id
    await used.release(allocation)


async def test_a_warm_machine_is_not_ended_for_what_this_caller_lacks(
    aws: AwsFront, pools: Callable[..., Pool], machines: Machines
):
    pools(access="token", port=11435)
    used, first = await acquired()
    await used.release(first)
    aws.inject(denied(), "GetParameter", times=None)
    with pytest.raises(CloudError, match="does not permit GetParameter"):
        await acquired()
    assert machines.running() == [first.machine.id]


async def test_a_warm_machine_that_cannot_be_reached_from_here_is_left_to_others(
    aws: AwsFront, pool: Pool, machines: Machines, monkeypatch: pytest.MonkeyPatch
):
    used, first = await acquired()
    await used.release(first)
    machines.wait(lambda: tags(aws, machines[first.machine.id]).get("hearth:stage") == "serving")
    machines[first.machine.id].freeze()
    monkeypatch.setattr(tasks.backends.ec2.connection, "_GLANCE_SECONDS", 0.3)
    with pytest.raises(ServerError, match="cannot be reached from here"):
        await acquired(answer_seconds=0.3)
    assert machines.running() == [first.machine.id]
    machines[first.machine.id].thaw()


@pytest.mark.long("waits for botocore's own tries")
async def test_after_lost_answers_to_a_launch_the_next_run_gets_that_machine(
    aws: AwsFront, pool: Pool, machines: Machines
):
    aws.invisible_for(36_000)
    lost = aws.inject(lost_answer(), "CreateFleet", times=None)
    with pytest.raises(CloudError, match="could not be asked"):
        await acquired(spot_policy="spot")
    lost.end()
    aws.invisible_for(0)
    aws.lifecycle.settle()
    used, allocation = await acquired(spot_policy="spot")
    assert len(machines.instances()) == 1
    await used.release(allocation)


async def test_interrupted_while_it_launches_the_machine_is_given_back(aws: AwsFront, pool: Pool, machines: Machines):
    answered = threading.Event()
    launch = aws.inject(answer_held(answered), "CreateFleet")
    acquiring = asyncio.create_task(acquired())
    await until_async(lambda: launch.hits)
    acquiring.cancel()
    await asyncio.sleep(0)  # it is cancelled while the answer is on its way
    answered.set()
    with pytest.raises(asyncio.CancelledError):
        await acquiring
    (name,) = machines.running()
    assert leases(aws, name) == {}


async def test_a_pool_that_is_not_deployed_says_how_to_deploy_it(aws: AwsFront):
    with pytest.raises(CloudError, match="hearth infra up ec2"):
        await acquired()
