"""Launch one machine for a pool, under its lock, and lease it before anybody may think it idle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence

from tasks.aws.client import ask
from tasks.backends.ec2.fleet import affordable, launch, offers
from tasks.backends.ec2.instances import keep_disk_on_power_off, terminate
from tasks.backends.ec2.machine import Machine, Market
from tasks.backends.ec2.policy import Step
from tasks.backends.ec2.pool import Pool, parameter
from tasks.core.errors import CapacityError, CloudError, MachineLostError
from tasks.core.events import Progress, RunWarning, emit
from tasks.costs.price_book import current_book
from tasks.leasing.launch_lock import LaunchLock
from tasks.leasing.lease import Lease

# EC2 may not list, or know, a machine for some seconds after its launch.
_UNLISTED_SECONDS = 120.0
_END_SECONDS = 60.0


async def launch_one(pool: Pool, new_lease: Callable[[str], Lease], avoid: Collection[str]) -> tuple[str, Lease] | None:
    """Launch a machine and lease it.

    Args:
        pool: whose it will be.
        new_lease: makes the lease on a machine, whose time starts when there is one.
        avoid: ids of machines that did not work.

    Returns:
        The machine's id and the lease on it; None if another run is launching one, or has just done so.

    Raises:
        CapacityError: EC2 has none just now.
        CloudError: AWS refuses.
    """
    name = pool.stack.pool
    async with pool.launches.held(name) as lock:
        if lock is None:
            emit(Progress("waiting for another run that launches a machine"))
            return None
        if await _one_came_meanwhile(pool, lock, avoid):
            return None
        nonce = f"{name} {lock.generation}"
        subnets = await _subnets(pool)
        image = await parameter(pool, pool.stack.ami_parameter)
        types = affordable(pool.settings.ec2, pool.aws.region, current_book(pool.settings.home))
        wanted = offers(pool.settings.ec2, pool.stack, subnets, image, nonce, types)
        if not await pool.launches.hold_on(name, lock):
            return None
        try:
            machine_id = await launch(pool.aws, wanted)
        except (CapacityError, CloudError) as error:
            # Without an answer it may have taken effect: whoever asks next asks the same, and gets that machine.
            if isinstance(error, CapacityError) or error.code:
                await pool.launches.ended(name, lock, None)
            raise
        lease = new_lease(machine_id)
        try:
            taken = await pool.records.take(machine_id, lease)
            await pool.launches.ended(name, lock, machine_id)
        except BaseException:
            # Nobody would know whose it is.
            await terminate(pool.aws, machine_id, time.time() + _END_SECONDS)
            raise
    return (machine_id, lease) if taken else None


async def set_up(pool: Pool, machine_id: str) -> Machine:
    """See a machine that was just launched, and have its disk kept if it is on demand.

    Raises:
        MachineLostError: EC2 does not know it for two minutes.
    """
    launched = await seen_machine(pool, machine_id)
    emit(Progress(f"launched {launched.id} ({launched.kind})"))
    if launched.market is Market.ON_DEMAND:
        try:
            await keep_disk_on_power_off(pool.aws, machine_id)
        except CloudError as error:
            emit(RunWarning(f"{machine_id} will be terminated, not stopped, if it powers itself off: {error}"))
    return launched


async def seen_machine(pool: Pool, machine_id: str) -> Machine:
    """A machine that exists; one that was launched a moment ago may not be known at once.

    Raises:
        MachineLostError: EC2 does not know it for two minutes.
    """
    deadline = time.monotonic() + _UNLISTED_SECONDS
    while (seen := await pool.recent_machine(machine_id)) is None:
        if time.monotonic() > deadline:
            raise MachineLostError(f"EC2 does not know {machine_id}.")
        await asyncio.sleep(min(1.0, pool.settings.ec2.poll_seconds))
    return seen


async def _one_came_meanwhile(pool: Pool, lock: LaunchLock, avoid: Collection[str]) -> bool:
    machines, step, _ = await pool.survey(avoid)
    if step is not Step.LAUNCH:
        return True
    young = pool.launches.now() - lock.last_at < _UNLISTED_SECONDS
    return young and lock.last_machine not in {*(m.id for m in machines), *avoid}


async def _subnets(pool: Pool) -> Sequence[str]:
    """The pool's subnets, in the zones that are wanted."""
    subnets, zones = pool.stack.subnets, set(pool.settings.ec2.zones)
    if not zones:
        return subnets
    answer = await ask(pool.aws.ec2.describe_subnets, SubnetIds=list(subnets))
    kept = [s["SubnetId"] for s in answer["Subnets"] if s["AvailabilityZone"] in zones]
    if not kept:
        has = ", ".join(sorted(s["AvailabilityZone"] for s in answer["Subnets"]))
        raise CloudError(f"The pool has no subnet in {', '.join(sorted(zones))}; it has {has}. Set HEARTH_EC2__ZONES.")
    return kept
