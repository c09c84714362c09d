"""However many machines and runs a process has, it asks EC2 about their pool once per poll interval."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tasks.backends.base import Endpoint
from tasks.backends.ec2.connection import Connection
from tasks.backends.ec2.lease import InstanceLease
from tasks.backends.ec2.machine import MachineState
from tasks.backends.ec2.pool import Pool as OpenPool
from tasks.backends.ec2.pool import open_pool
from tasks.core.interruption import Interruption
from tasks.leasing.lease import Lease
from tasks.settings.settings import Settings
from tests.support.aws.front import AwsFront
from tests.support.aws.launches import launch
from tests.support.aws.pool import Pool
from tests.support.waiting import until_async

pytestmark = pytest.mark.long("launches six machines: 7 s")

POLL_S = 0.5
MACHINES = 6


async def opened() -> OpenPool:
    return await open_pool(Settings(ec2={"poll_seconds": POLL_S, "lease_seconds": 36_000.0}))  # type: ignore[arg-type]


def looks(aws: AwsFront) -> int:
    return sum(call.action == "DescribeInstances" for call in list(aws.calls))


@pytest.fixture
def held() -> Iterator[list[InstanceLease]]:
    made: list[InstanceLease] = []
    yield made
    for each in made:
        each.release()


async def follow(pool: OpenPool, machine: str, held: list[InstanceLease]) -> Interruption:
    """A run that reads on a machine."""
    lease = Lease("a run", 2, time.time() + 36_000)
    assert await pool.records.take(machine, lease)
    unreachable = Connection(Endpoint("http://127.0.0.1:9"))
    held.append(InstanceLease(pool, machine, lease, started=False, connection=unreachable))
    held[-1].watch()
    return held[-1].interruption


async def test_six_runs_on_six_machines_make_as_many_calls_as_one(aws: AwsFront, pool: Pool, held: list[InstanceLease]):
    for _ in range(MACHINES):
        await follow(await opened(), launch(aws, pool), held)
    before, began = looks(aws), time.monotonic()
    await until_async(lambda: looks(aws) >= before + 5)
    assert time.monotonic() - began >= 4 * POLL_S * 0.9


async def test_a_run_reacts_only_to_changes_of_its_own_machine(aws: AwsFront, pool: Pool, held: list[InstanceLease]):
    names = [launch(aws, pool) for _ in range(2)]
    interruptions = [await follow(await opened(), name, held) for name in names]
    aws.behind("ec2").terminate_instances(InstanceIds=[names[1]])
    await until_async(lambda: interruptions[1].gone)
    assert MachineState.RUNNING not in interruptions[1].why
    assert not interruptions[0].gone
