"""A run gets one machine: reused before started, started before launched, and never two if one is enough."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tasks.core.errors import CloudError
from tests.integration.ec2.acquiring import acquired, leases
from tests.support.aws.faults import answer_held, lost_answer
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.pool import Pool
from tests.support.waiting import PATIENCE, until_async

pytestmark = pytest.mark.long("launches machines for each test: 2 to 6 s")


@pytest.mark.always
async def test_without_a_machine_one_is_launched_and_answers(aws: AwsFront, pool: Pool, machines: Machines):
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


@pytest.mark.always
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


@pytest.mark.always
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


async def test_a_machine_of_an_older_configuration_is_not_reused(aws: AwsFront, pool: Pool, machines: Machines):
    used, first = await acquired()
    await used.release(first)
    tag = [{"Key": "hearth:config", "Value": "older"}]
    aws.client("ec2").create_tags(Resources=[first.machine.id], Tags=tag)
    used, second = await acquired()
    assert second.machine.id != first.machine.id
    await used.release(second)


@pytest.mark.parametrize("invisible", [0.0, 2.0], ids=["seen at once", "not listed for two seconds"])
async def test_five_simultaneous_runs_launch_one_machine(
    aws: AwsFront, pool: Pool, machines: Machines, invisible: float
):
    aws.invisible_for(invisible)
    got = await asyncio.gather(*(acquired() for _ in range(5)))
    assert len({allocation.machine.id for _, allocation in got}) == 1
    assert len(machines.instances()) == 1
    assert len(leases(aws, got[0][1].machine.id)) == 5
    for used, allocation in got:
        await used.release(allocation)


@pytest.mark.long("waits for botocore's own tries")
async def test_after_lost_responses_to_a_launch_the_next_run_gets_that_machine(
    aws: AwsFront, pool: Pool, machines: Machines
):
    aws.invisible_for(36_000)
    lost = aws.inject(lost_answer(), "CreateFleet", times=None)
    with pytest.raises(CloudError, match="could not be reached"):
        await acquired(spot_policy="spot")
    lost.end()
    aws.invisible_for(0)
    aws.lifecycle.settle()
    used, allocation = await acquired(spot_policy="spot")
    assert len(machines.instances()) == 1
    await used.release(allocation)


async def test_a_machine_is_released_if_its_launch_is_interrupted(aws: AwsFront, pool: Pool, machines: Machines):
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


async def test_the_error_of_a_missing_pool_names_the_command_that_deploys_it(aws: AwsFront):
    with pytest.raises(CloudError, match="hearth infra up ec2"):
        await acquired()
