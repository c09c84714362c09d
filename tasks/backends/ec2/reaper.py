"""Stop idle machines. Every process that stops machines does it here, so that none cuts off a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from tasks.aws.client import ask, ask_all
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

# A stop that is delayed for longer than this after closing might meet a new lease.
MARGIN_SECONDS = CLOSED_SECONDS / 2
# A disk that has been detached for longer belongs to no launch under way.
DISK_SECONDS = 3600.0


async def reap(pool: Pool, machine: Machine) -> Decision:
    """Stop or terminate a machine if it is time, and return the decision.

    Raises:
        CloudError: AWS refuses, or cannot be reached; nothing, or all of it, has been done.
    """
    await record_state(pool, machine)
    record = await pool.records.get(machine.id)
    now = pool.records.now()
    started_by_hand = machine.state is MachineState.RUNNING and record.stopped_at > 0
    if started_by_hand or (machine.state is MachineState.STOPPED and not record.stopped_at):
        await pool.records.note_stopped(machine.id, 0 if started_by_hand else now, anew=started_by_hand)
        record = await pool.records.get(machine.id)
    decision = retention_policy(machine, record, 0.0, now, pool.limits)
    if decision.action in {Action.STOP, Action.TERMINATE}:
        active = await active_until(pool, machine) if machine.state is MachineState.RUNNING else 0.0
        decision = retention_policy(machine, record, active, now, pool.limits)
    return await _carry_out(pool, machine, record, decision)


async def end(
    pool: Pool,
    machine: Machine,
    why: Why,
    *,
    mine: Lease | None = None,
    work: Mapping[str, float] | None = None,
    force: bool = False,
) -> Decision:
    """Stop a machine now, unless others lease it and `force` is False.

    A lease of `mine` is given back first, with the page seconds of each document that was read under it (`work`).
    """
    if mine is not None:
        await pool.records.release(machine.id, mine, work)
    await record_state(pool, machine)
    record = await pool.records.get(machine.id)
    others = record.live(pool.records.now())
    if others and not force:
        return Decision(Action.KEEP, Why.LEASED, max(lease.until for lease in others))
    # A machine that did not work is not kept for another attempt.
    final = machine.state is MachineState.STOPPED or why is Why.NEVER_WARM
    action = Action.TERMINATE if final else stop_or_terminate(machine)
    return await _carry_out(pool, machine, record, Decision(action, why))


async def sweep_disks(pool: Pool) -> tuple[str, ...]:
    """Delete disks of the pool that have been detached for an hour, and return their ids.

    Raises:
        CloudError: AWS does not list them. A disk that cannot be deleted is warned of, and left.
    """
    tags = {"Name": f"tag:{POOL_TAG}", "Values": [pool.stack.pool]}
    filters = [tags, {"Name": "status", "Values": ["available"]}]
    listed = await ask_all(pool.aws.ec2, "describe_volumes", "Volumes", Filters=filters)
    now = pool.records.now()
    old = [volume["VolumeId"] for volume in listed if now - volume["CreateTime"].timestamp() > DISK_SECONDS]
    return tuple([volume for volume in old if await _delete(pool, volume)])


async def _delete(pool: Pool, volume: str) -> bool:
    try:
        await ask(pool.aws.ec2.delete_volume, VolumeId=volume)
    except CloudError as error:
        if error.code not in {"InvalidVolume.NotFound", "VolumeInUse", "IncorrectState"}:
            emit(RunWarning(f"The disk {volume} is left: {error}"))
        return False
    return True


async def _carry_out(pool: Pool, machine: Machine, record: Record, decision: Decision) -> Decision:
    if decision.action in {Action.STOP, Action.TERMINATE}:
        return await _stop_or_terminate(pool, machine, record, decision)
    if decision.action is Action.FORGET:
        await record_leases(pool, record)
        await pool.records.forget(machine.id)
    return decision


async def _stop_or_terminate(pool: Pool, machine: Machine, record: Record, decision: Decision) -> Decision:
    closed = await pool.records.close(record)
    if closed is None:
        # A run leased it at the last moment, and wins.
        return Decision(Action.KEEP, Why.LEASED, time.time() + pool.limits.idle)
    await record_leases(pool, record)
    before = closed.closed_until - MARGIN_SECONDS
    try:
        if decision.why is Why.IDLE and (active := await active_until(pool, machine)) > pool.records.now():
            await pool.records.reopen(closed)
            return Decision(Action.KEEP, Why.ACTIVE, active)
        if decision.action is Action.TERMINATE:
            # It stays closed: EC2 may for a moment still list it as running.
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
