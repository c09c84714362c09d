"""A run is killed at each of its calls to AWS, before or after its effect: nothing that costs money is left."""

from __future__ import annotations

import asyncio
import multiprocessing
from typing import Any, Literal

import pytest

from tasks.backends.ec2.pool import open_pool
from tasks.backends.ec2.reaper import reap
from tests.support.aws import crash_run
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.pool import Pool, end_leases
from tests.support.waiting import PATIENCE, until_async

RUNS = multiprocessing.get_context("forkserver")
RUNS.set_forkserver_preload(["tests.support.aws.crash_run", "tests.support.aws.crash_clients"])


def killed_at(aws: AwsFront, call: int, when: Literal["before", "after"], changed: dict[str, Any]) -> str | None:
    """Run a process that is killed at that call; the call's name, or None if the run ended before it."""
    process = RUNS.Process(target=crash_run.main, args=(dict(aws.environment), changed))
    process.start()
    crash = aws.kill_at(call, process.pid, when)
    process.join(PATIENCE)
    assert process.exitcode in {0, -9}, process.exitcode
    name = crash.call.action if process.exitcode == -9 else None
    process.close()
    return name


async def swept(machines: Machines) -> None:
    """Sweep as the deployment does, until nothing is running."""
    pool = await open_pool(crash_run.backend().settings)

    async def sweep() -> bool:
        for machine in await pool.machines():
            await reap(pool, machine)
        return not machines.running()

    await until_async(sweep)


@pytest.mark.long("kills a run at every step")
@pytest.mark.timeout(4000)
@pytest.mark.parametrize(
    ("when", "market"),
    [
        # What stands after a call is what stands before the next one: the others repeat it, by other ways.
        ("after", "on_demand"),
        ("after", "auto"),
        ("before", "on_demand"),
        ("before", "auto"),
    ],
)
async def test_a_run_killed_at_any_call_leaves_at_most_one_machine_which_the_next_run_uses_and_the_sweep_ends(
    aws: AwsFront, pool: Pool, machines: Machines, when: Literal["before", "after"], market: str
):
    changed = {"spot_policy": market}
    seen: list[str] = []
    for call in range(1, 60):
        action = await asyncio.to_thread(killed_at, aws, call, when, changed)
        if action is None:
            break
        seen.append(action)
        left = machines.running()
        assert len(left) <= 1, (call, action)
        for machine in [*left, "none"]:
            end_leases(aws, machine)  # time passes
        used = await crash_run.acquire_and_release(**changed)
        assert not left or used == left[0], (call, action)
        assert machines.running() == [used], (call, action)
        await swept(machines)
        assert machines.running() == [], (call, action)
        aws.client("ec2").terminate_instances(InstanceIds=list(machines.instances()))
    assert {"DescribeStacks", "CreateFleet", "UpdateItem", "DescribeInstances"} <= set(seen)
    assert len(seen) >= 15
