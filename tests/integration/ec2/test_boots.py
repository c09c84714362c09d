"""A machine that does not boot, or cannot be reached, is ended, replaced or left to others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

import tasks.backends.ec2.connection
from tasks.core.errors import CloudError, ServerError
from tasks.core.events import Event, Progress, subscribe
from tests.integration.ec2.acquiring import acquired
from tests.support.aws.faults import denied, held
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.plan import Plan
from tests.support.aws.pool import Pool
from tests.support.aws.visits import tags
from tests.support.waiting import until_async

pytestmark = pytest.mark.long("launches a machine for each test: 2 to 7 s")


@pytest.mark.always
async def test_a_machine_that_does_not_boot_is_ended_and_its_log_is_shown(
    aws: AwsFront, pool: Pool, machines: Machines
):
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


async def test_a_machine_that_ends_itself_because_of_a_bad_download_is_not_replaced(
    aws: AwsFront, pool: Pool, machines: Machines
):
    """Another machine would download the same file, at the same cost."""
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
    await until_async(lambda: any(isinstance(each, Progress) and each.message.endswith(" boots") for each in told))
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


async def test_a_warm_machine_is_not_ended_if_the_caller_lacks_a_permission(
    aws: AwsFront, pools: Callable[..., Pool], machines: Machines
):
    pools(access="token", port=11435)
    used, first = await acquired()
    await used.release(first)
    aws.inject(denied(), "GetParameter", times=None)
    with pytest.raises(CloudError, match="does not permit GetParameter"):
        await acquired()
    assert machines.running() == [first.machine.id]


async def test_a_warm_machine_that_this_machine_cannot_reach_is_not_ended(
    aws: AwsFront, pool: Pool, machines: Machines, monkeypatch: pytest.MonkeyPatch
):
    used, first = await acquired()
    await used.release(first)
    machines.wait(lambda: tags(aws, machines[first.machine.id]).get("hearth:stage") == "serving")
    machines[first.machine.id].freeze()
    monkeypatch.setattr(tasks.backends.ec2.connection, "GLANCE_SECONDS", 0.3)
    with pytest.raises(ServerError, match="cannot be reached from here"):
        await acquired(answer_seconds=0.3)
    assert machines.running() == [first.machine.id]
    machines[first.machine.id].thaw()
