"""Stop what nobody uses. Every stopper goes this way, so that none cuts off a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from tasks.aws.client import ask
from tasks.backends.ec2.connection import active_until
from tasks.backends.ec2.instances import stop, terminate
from tasks.backends.ec2.machine import POOL_TAG, Machine, MachineState
from tasks.backends.ec2.policy import Action, Decision, Why, retention_policy, stop_or_terminate
from tasks.backends.ec2.pool import Pool
from tasks.backends.ec2.usage import record_leases, record_state, record_stop
from tasks.core.errors import CloudError
from tasks.core.events import RunWarning, emit
from tasks.leasing.lease import Lease, Record
from tasks.leasing.leases import CLOSED_SECONDS

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import DescribeVolumesResultTypeDef, FilterTypeDef

# A stop that was held up for longer than this after closing might meet a lease of somebody who waited.
_MARGIN_SECONDS = CLOSED_SECONDS / 2
# A disk that is neither attached nor young belongs to no launch under way.
_DISK_SECONDS = 3600.0


async def reap(pool: Pool, machine: Machine) -> Decision:
    """Stop or terminate a machine if it is time, and say what was decided.

    Raises:
        CloudError: AWS refuses, or is out of reach; nothing, or all of it, has been done.
    """
    await record_state(pool, machine)
    record = await pool.records.get(machine.id)
    now = pool.records.now()
    if machine.state is MachineState.STOPPED and not record.stopped_at:
        await pool.records.note_stopped(machine.id, now)
        record = await pool.records.get(machine.id)
    elif machine.state is MachineState.RUNNING and record.stopped_at:
        await pool.records.note_stopped(machine.id, 0, anew=True)  # somebody started it by hand
        record = await pool.records.get(machine.id)
    decision = retention_policy(machine, record, 0.0, now, pool.limits)
    if decision.action in {Action.STOP, Action.TERMINATE}:
        active = await active_until(pool, machine) if machine.state is MachineState.RUNNING else 0.0
        decision = retention_policy(machine, record, active, now, pool.limits)
    return await _act(pool, machine, record, decision)


async def end(
    pool: Pool,
    machine: Machine,
    why: Why,
    *,
    mine: Lease | None = None,
    work: Mapping[str, float] | None = None,
    force: bool = False,
) -> Decision:
    """Stop a machine now, unless others lease it.

    Args:
        pool: whose it is.
        machine: which.
        why: for the record.
        mine: a lease that does not count.
        work: page seconds of each document that was read under it.
        force: leases of others do not count either.
    """
    if mine is not None:
        await pool.records.release(machine.id, mine, work)
    await record_state(pool, machine)
    record = await pool.records.get(machine.id)
    others = record.live(pool.records.now())
    if others and not force:
        return Decision(Action.KEEP, Why.LEASED, max(lease.until for lease in others))
    action = stop_or_terminate(machine)
    if machine.state is MachineState.STOPPED or why is Why.NEVER_WARM:
        # What did not work once is not kept for another try.
        action = Action.TERMINATE
    return await _act(pool, machine, record, Decision(action, why))


async def sweep_disks(pool: Pool) -> tuple[str, ...]:
    """Delete disks of the pool that no machine has had for an hour; their ids.

    Raises:
        CloudError: AWS does not list them. One that cannot be deleted is told of, and left.
    """
    pages = pool.aws.ec2.get_paginator("describe_volumes")
    ours: list[FilterTypeDef] = [
        {"Name": f"tag:{POOL_TAG}", "Values": [pool.stack.pool]},
        {"Name": "status", "Values": ["available"]},
    ]

    def describe_volumes() -> list[DescribeVolumesResultTypeDef]:
        return list(pages.paginate(Filters=ours))

    listed = await ask(describe_volumes)
    old = [
        volume["VolumeId"]
        for page in listed
        for volume in page["Volumes"]
        if pool.records.now() - volume["CreateTime"].timestamp() > _DISK_SECONDS
    ]
    return tuple([volume for volume in old if await _deleted(pool, volume)])


async def _deleted(pool: Pool, volume: str) -> bool:
    try:
        await ask(pool.aws.ec2.delete_volume, VolumeId=volume)
    except CloudError as error:
        if error.code not in {"InvalidVolume.NotFound", "VolumeInUse", "IncorrectState"}:
            emit(RunWarning(f"The disk {volume} is left: {error}"))
        return False
    return True


async def _act(pool: Pool, machine: Machine, record: Record, decision: Decision) -> Decision:
    match decision.action:
        case Action.FORGET:
            await record_leases(pool, record)
            await pool.records.forget(machine.id)
        case Action.STOP | Action.TERMINATE:
            return await _put_away(pool, machine, record, decision)
        case Action.KEEP:
            pass
    return decision


async def _put_away(pool: Pool, machine: Machine, record: Record, decision: Decision) -> Decision:
    closed = await pool.records.close(record)
    if closed is None:
        # Somebody came at the last moment, and comes first.
        return Decision(Action.KEEP, Why.LEASED, time.time() + pool.limits.idle)
    await record_leases(pool, record)
    before = closed.closed_until - _MARGIN_SECONDS
    try:
        if decision.why is Why.IDLE and (active := await active_until(pool, machine)) > pool.records.now():
            await pool.records.reopen(closed)
            return Decision(Action.KEEP, Why.ACTIVE, active)
        if decision.action is Action.TERMINATE:
            # It stays closed: EC2 may for a moment still tell of it as running.
            await terminate(pool.aws, machine.id, before)
            await record_stop(pool, machine, decision.why, keeps_disk=False)
            return decision
        await stop(pool.aws, machine.id, before)
        await record_stop(pool, machine, decision.why, keeps_disk=True)
    except BaseException:
        with suppress(CloudError):  # it opens by itself, a little later
            await pool.records.reopen(closed)
        raise
    with suppress(CloudError):
        await pool.records.note_stopped(machine.id, pool.records.now(), anew=True)
        await pool.records.reopen(closed)
    return replace(decision, look_again_at=time.time() + pool.limits.terminate)
