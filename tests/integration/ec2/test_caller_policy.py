"""The caller's IAM policy suffices for the calls of the code, and allows nothing that is never called."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

import infra_scripts
from tasks.backends.ec2.policy import Why
from tasks.backends.ec2.pool import log_tail
from tasks.backends.ec2.reaper import end, reap, sweep_disks
from tasks.backends.ec2.status import status_of
from tasks.backends.ec2.usage import pool_pieces
from tests.integration.ec2.acquiring import acquired
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.pool import Pool

pytestmark = pytest.mark.long("follows a machine's life call by call: 5 to 13 s")

POLICY = json.loads((Path(infra_scripts.__file__).parent / "ec2/policies/caller.json").read_text())
ALLOWED = {
    action
    for statement in POLICY["Statement"]
    for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
}
# What AWS asks for on behalf of another call, which no call of the code's own shows.
IMPLIED = {"ec2:RunInstances", "ec2:CreateTags", "iam:PassRole", "iam:CreateServiceLinkedRole"}
# Calls of the Session Manager plugin, and of a sweep that finds a disk to delete.
ELSEWHERE = {"ssm:ResumeSession", "ssm:TerminateSession", "ssmmessages:OpenDataChannel", "ec2:DeleteVolume"}


@pytest.mark.parametrize("market", ["spot", "on_demand"])
@pytest.mark.parametrize("access", ["private", "token", "tunnel"])
async def test_every_call_of_a_machines_life_is_allowed(
    aws: AwsFront, pools: Callable[..., Pool], machines: Machines, market: str, access: str
):
    pools(access=access, port=11435 if access == "token" else 11434)
    await machine_life(market)
    asked = {f"{call.service}:{call.action}" for call in aws.calls}
    assert asked <= ALLOWED, asked - ALLOWED


async def test_nothing_is_allowed_that_is_never_called(aws: AwsFront, pools: Callable[..., Pool], machines: Machines):
    pools(access="tunnel")
    await machine_life("on_demand")
    await machine_life("spot")
    asked = {f"{call.service}:{call.action}" for call in aws.calls}
    assert ALLOWED - asked - IMPLIED - ELSEWHERE == set()


async def machine_life(market: str) -> None:
    """Acquired, used, released, told of, stopped, started, ended, swept, reckoned up."""
    used, allocation = await acquired(spot_policy=market, zones=("us-east-1a",))
    pool = allocation.lease.pool
    await log_tail(pool, allocation.machine.id)
    await status_of(pool)
    await used.release(allocation)
    (machine,) = [each for each in await pool.machines() if each.there]
    await end(pool, machine, Why.ASKED)
    if market == "on_demand":
        used, allocation = await acquired(spot_policy=market)
        await used.release(allocation)
        await end(pool, next(each for each in await pool.machines() if each.there), Why.NEVER_WARM)
    for gone in await pool.machines():
        await reap(pool, gone)
    await sweep_disks(pool)
    now = datetime.now(UTC)
    await pool_pieces(pool, now, now)
