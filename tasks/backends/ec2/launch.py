"""Launch one machine for a pool, under its lock and leased at once; and wait until a machine serves."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence

from tasks.aws.client import ask
from tasks.backends.ec2.connection import Connection, open_connection
from tasks.backends.ec2.fleet import affordable, launch, offers
from tasks.backends.ec2.instances import keep_disk_on_power_off, terminate
from tasks.backends.ec2.lease import InstanceLease
from tasks.backends.ec2.machine import Machine, MachineState, Market, launch_failure, state_text
from tasks.backends.ec2.policy import Step
from tasks.backends.ec2.pool import Pool, log_tail, parameter
from tasks.backends.ec2.usage import record_ready, record_state
from tasks.core.errors import CapacityError, CloudError, MachineLostError, NoResponseError, ServerError, TransientError
from tasks.core.events import Progress, RunWarning, emit
from tasks.costs.price_book import current_book
from tasks.leasing.launch_lock import LaunchLock
from tasks.leasing.lease import Lease

# EC2 may not list, or know, a machine for some seconds after its launch.
_UNLISTED_SECONDS = 120.0
_END_SECONDS = 60.0


async def launch_one(pool: Pool, new_lease: Callable[[str], Lease], avoid: Collection[str]) -> tuple[str, Lease] | None:
    """Launch a machine and lease it; machines to `avoid` did not work.

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
        if await _came_meanwhile(pool, lock, avoid):
            return None
        nonce = f"{name} {lock.generation}"
        subnets = await _subnets(pool)
        image = await parameter(pool, pool.stack.ami_parameter)
        types = affordable(pool.settings.ec2, pool.aws.region, current_book(pool.settings.home))
        candidates = offers(pool.settings.ec2, pool.stack, subnets, image, nonce, types)
        if not await pool.launches.hold_on(name, lock):
            return None
        try:
            machine_id = await launch(pool.aws, candidates)
        except (CapacityError, CloudError) as error:
            # Without a response it may have taken effect: the next run sends the same request, and gets that machine.
            if isinstance(error, CapacityError) or error.code:
                await pool.launches.ended(name, lock, None)
            raise
        lease = new_lease(machine_id)
        try:
            taken = await pool.records.take(machine_id, lease)
            await pool.launches.ended(name, lock, machine_id)
        except BaseException:
            # Without a lease it would belong to nobody.
            await terminate(pool.aws, machine_id, time.time() + _END_SECONDS)
            raise
    return (machine_id, lease) if taken else None


async def set_up(pool: Pool, machine_id: str) -> Machine:
    """Find a machine that was just launched, and have its disk kept if it is on demand.

    Raises:
        MachineLostError: EC2 has not known it for two minutes.
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
    """Return a machine that exists; EC2 may take a moment to know one that was just launched.

    Raises:
        MachineLostError: EC2 has not known it for two minutes.
    """
    deadline = time.monotonic() + _UNLISTED_SECONDS
    while (seen := await pool.recent_machine(machine_id)) is None:
        if time.monotonic() > deadline:
            raise MachineLostError(f"EC2 does not know {machine_id}.")
        await asyncio.sleep(min(1.0, pool.settings.ec2.poll_seconds))
    return seen


async def _came_meanwhile(pool: Pool, lock: LaunchLock, avoid: Collection[str]) -> bool:
    machines, step, _ = await pool.survey(avoid)
    if step is not Step.LAUNCH:
        return True
    young = pool.launches.now() - lock.last_at < _UNLISTED_SECONDS
    return young and lock.last_machine not in {*(m.id for m in machines), *avoid}


async def _subnets(pool: Pool) -> Sequence[str]:
    """Return the pool's subnets in the zones of the settings."""
    subnets, zones = pool.stack.subnets, set(pool.settings.ec2.zones)
    if not zones:
        return subnets
    response = await ask(pool.aws.ec2.describe_subnets, SubnetIds=list(subnets))
    fit = [s["SubnetId"] for s in response["Subnets"] if s["AvailabilityZone"] in zones]
    if not fit:
        has = ", ".join(sorted(s["AvailabilityZone"] for s in response["Subnets"]))
        raise CloudError(f"The pool has no subnet in {', '.join(sorted(zones))}; it has {has}. Set HEARTH_EC2__ZONES.")
    return fit


class NotUpError(ServerError):
    """The machine itself is to blame."""


class ChangedError(MachineLostError):
    """The machine has changed its state since it was chosen."""


async def bring_up(pool: Pool, instance: InstanceLease, holder: str) -> InstanceLease:
    """Wait until EC2 says that it runs and Ollama answers.

    Raises:
        MachineLostError: it went meanwhile.
        NotUpError: it did not come up in time, or reported that it cannot.
        ServerError: it serves, and cannot be reached from here.
    """
    if instance.machine is None:
        instance.machine = await set_up(pool, instance.id)
    instance.machine = await _running(pool, instance)
    await record_state(pool, instance.machine, holder if instance.started else "")
    instance.connection = await open_connection(pool, instance.machine)
    await _answering(pool, instance, instance.machine, instance.connection)
    await record_ready(pool, instance.machine)
    instance.watch()
    return instance


async def _running(pool: Pool, instance: InstanceLease) -> Machine:
    deadline = time.monotonic() + pool.settings.ec2.start_seconds
    # Right after a start, EC2 may still report the state before it.
    before_start = {MachineState.STOPPED, MachineState.STOPPING} if instance.started else set()
    while True:
        looked_at = time.monotonic()
        seen = await seen_machine(pool, instance.id)
        if seen.state is MachineState.RUNNING:
            return seen
        if seen.state is MachineState.PENDING:
            before_start = set()
        elif not instance.started and seen.state in {MachineState.STOPPING, MachineState.STOPPED}:
            raise ChangedError(f"{instance.id} is {seen.state}.")
        elif seen.state not in before_start:
            await _check_stage(pool, instance, seen)
            if instance.started and (why := launch_failure(seen)):
                raise NotUpError(why)
            raise MachineLostError(f"{instance.id} is {state_text(seen)}.")
        if looked_at > deadline:
            raise NotUpError(
                f"{instance.id} was not running after {pool.settings.ec2.start_seconds:g} s. It is terminated, unless "
                "others use it; run again, or raise HEARTH_EC2__START_SECONDS."
            )
        emit(Progress(f"{instance.id} ({seen.kind}) is {seen.state}"))
        await asyncio.sleep(pool.settings.ec2.poll_seconds)


async def _answering(pool: Pool, instance: InstanceLease, booting: Machine, connection: Connection) -> None:
    """Wait until Ollama answers: as long as a boot may take, or briefly if the machine has long been up."""
    boot_ends = booting.launched_at + pool.settings.ec2.boot_seconds
    glance = pool.settings.warm.answer_seconds
    deadline = time.monotonic() + max(boot_ends - time.time(), glance)
    serving_since: float | None = None  # when its tag first said so
    async with connection.client() as client:
        while True:
            sent_at = time.monotonic()
            try:
                await client.version()
            except TransientError as error:
                why, silent = str(error), isinstance(error, NoResponseError)
            else:
                return
            if connection.shut:
                raise MachineLostError(f"The tunnel to {instance.id} ended.")
            seen = await seen_machine(pool, instance.id)
            await _check_stage(pool, instance, seen)
            if seen.state is not MachineState.RUNNING:
                raise MachineLostError(f"{instance.id} is {state_text(seen)}.")
            serves = seen.stage == "serving" and seen.stage != instance.stale_stage
            # AWS or this process may have been slow: only a request sent after the limit can fail it.
            overdue = serves and serving_since is not None and sent_at - serving_since > glance
            if overdue and not silent:
                raise NotUpError(await _not_up(pool, instance.id, f"it says that it serves, but {why}"))
            if overdue:
                raise ServerError(
                    f"{instance.id} says that it serves, but cannot be reached from here at "
                    f"{connection.endpoint.url}. Check the network, the VPN, and the source that was allowed by "
                    "`hearth infra up ec2 --allow-from`."
                )
            if sent_at > deadline:
                raise NotUpError(await _not_up(pool, instance.id, why))
            if not serves:
                serving_since = None
            elif serving_since is None:
                serving_since = time.monotonic()
            emit(Progress(f"{instance.id} ({seen.kind}) boots{': ' + seen.stage if seen.stage else ''}"))
            await asyncio.sleep(pool.settings.ec2.poll_seconds)


async def _check_stage(pool: Pool, instance: InstanceLease, seen: Machine) -> None:
    """Raise if the machine reports that it failed. It may have ended itself for that, so its state comes second.

    Raises:
        NotUpError: another machine would fail, too.
    """
    if seen.stage.startswith("failed") and seen.stage != instance.stale_stage:
        raise NotUpError(await _not_up(pool, instance.id, seen.stage))


async def _not_up(pool: Pool, machine_id: str, why: str) -> str:
    tail = await log_tail(pool, machine_id)
    logged = f" Its boot log ends: {tail}" if tail else ""
    return (
        f"Ollama on {machine_id} did not come up: {why.rstrip('.')}. The machine is terminated, unless others "
        f"use it.{logged}"
    )
