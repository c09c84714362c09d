"""A pool whose machines are idle at once."""

from __future__ import annotations

import time
from typing import Any

from tasks.backends.ec2 import instances as ec2_machines
from tasks.backends.ec2.pool import Pool as OpenPool
from tasks.backends.ec2.pool import open_pool
from tasks.leasing.lease import Lease
from tasks.settings.settings import Settings
from tests.support.aws.front import AwsFront
from tests.support.aws.launches import launch
from tests.support.aws.pool import Pool
from tests.support.aws.wire import Call

AT_ONCE = 0.00001
"""Minutes after which a machine is idle."""


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


def closing(call: Call) -> bool:
    """Whether a call closes a record."""
    return "closed_until = :until" in call.parameters.get("UpdateExpression", "")
