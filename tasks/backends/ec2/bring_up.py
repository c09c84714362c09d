"""Wait until a machine runs and its Ollama answers, or say why it does not."""

from __future__ import annotations

import asyncio
import time

from tasks.backends.ec2.connection import Connection, open_connection
from tasks.backends.ec2.instance_lease import InstanceLease
from tasks.backends.ec2.launch import seen_machine, set_up
from tasks.backends.ec2.machine import Machine, MachineState
from tasks.backends.ec2.pool import Pool, log_tail
from tasks.backends.ec2.state_reasons import stillborn, told_state
from tasks.backends.ec2.usage import noticed, noticed_up
from tasks.core.errors import MachineLostError, NoResponseError, ServerError, TransientError
from tasks.core.events import Progress, emit


class NotUpError(ServerError):
    """The machine itself is to blame."""


class ChangedError(MachineLostError):
    """It was not any more what it was when it was chosen."""


async def bring_up(pool: Pool, instance: InstanceLease, holder: str) -> InstanceLease:
    """Wait until EC2 says that it runs and Ollama answers.

    Raises:
        MachineLostError: it went meanwhile.
        NotUpError: it did not come up in time, or said that it cannot.
        ServerError: it serves, and cannot be reached from here.
    """
    if instance.machine is None:
        instance.machine = await set_up(pool, instance.id)
    instance.machine = await _running(pool, instance)
    await noticed(pool, instance.machine, holder if instance.started else "")
    instance.connection = await open_connection(pool, instance.machine)
    await _answering(pool, instance, instance.machine, instance.connection)
    await noticed_up(pool, instance.machine)
    instance.renewer.watch(instance.connection)
    return instance


async def _running(pool: Pool, instance: InstanceLease) -> Machine:
    deadline = time.monotonic() + pool.settings.ec2.start_seconds
    # Right after a start, EC2 may still tell the state before it.
    before_start = {MachineState.STOPPED, MachineState.STOPPING} if instance.started else set()
    while True:
        asked = time.monotonic()
        seen = await seen_machine(pool, instance.id)
        if seen.state is MachineState.RUNNING:
            return seen
        if seen.state is MachineState.PENDING:
            before_start = set()
        elif not instance.started and seen.state in {MachineState.STOPPING, MachineState.STOPPED}:
            raise ChangedError(f"{instance.id} is {seen.state}.")
        elif seen.state not in before_start:
            await _check_stage(pool, instance, seen)
            if instance.started and (why := stillborn(seen)):
                raise NotUpError(why)
            raise MachineLostError(f"{instance.id} is {told_state(seen)}.")
        if asked > deadline:
            raise NotUpError(
                f"{instance.id} was not running after {pool.settings.ec2.start_seconds:g} s. It is terminated, unless "
                "others use it; run again, or raise HEARTH_EC2__START_SECONDS."
            )
        emit(Progress(f"{instance.id} ({seen.kind}) is {seen.state}"))
        await asyncio.sleep(pool.settings.ec2.poll_seconds)


async def _answering(pool: Pool, instance: InstanceLease, booting: Machine, connection: Connection) -> None:
    """Wait until Ollama answers, for as long as a boot may take, or a glance for one that has long been up."""
    boot_ends = booting.launched_at + pool.settings.ec2.boot_seconds
    glance = pool.settings.warm.answer_seconds
    deadline = time.monotonic() + max(boot_ends - time.time(), glance)
    serving_since: float | None = None  # when it was first seen to say so
    async with connection.client() as client:
        while True:
            asked = time.monotonic()
            try:
                await client.version()
            except TransientError as error:
                said, silent = str(error), isinstance(error, NoResponseError)
            else:
                return
            if connection.shut:
                raise MachineLostError(f"The tunnel to {instance.id} ended.")
            seen = await seen_machine(pool, instance.id)
            await _check_stage(pool, instance, seen)
            if seen.state is not MachineState.RUNNING:
                raise MachineLostError(f"{instance.id} is {told_state(seen)}.")
            serves = seen.stage == "serving" and seen.stage != instance.stale_stage
            # Whatever was slow meanwhile, AWS or this process: only a request sent after the limit can fail it.
            unheard = serves and serving_since is not None and asked - serving_since > glance
            if unheard and not silent:
                raise NotUpError(await _not_up(pool, instance.id, f"it says that it serves, but {said}"))
            if unheard:
                raise ServerError(
                    f"{instance.id} says that it serves, but cannot be reached from here at {connection.url}. Check "
                    "the network, the VPN, and the source that was allowed by `hearth infra up ec2 --allow-from`."
                )
            if asked > deadline:
                raise NotUpError(await _not_up(pool, instance.id, said))
            if not serves:
                serving_since = None
            elif serving_since is None:
                serving_since = time.monotonic()
            emit(Progress(f"{instance.id} ({seen.kind}) boots{': ' + seen.stage if seen.stage else ''}"))
            await asyncio.sleep(pool.settings.ec2.poll_seconds)


async def _check_stage(pool: Pool, instance: InstanceLease, seen: Machine) -> None:
    """Raise if the machine says that it failed, which goes before its state: it may have ended itself for that.

    Raises:
        NotUpError: another one would fail, too.
    """
    if seen.stage.startswith("failed") and seen.stage != instance.stale_stage:
        raise NotUpError(await _not_up(pool, instance.id, seen.stage))


async def _not_up(pool: Pool, machine_id: str, said: str) -> str:
    tail = await log_tail(pool, machine_id)
    logged = f" Its boot log ends: {tail}" if tail else ""
    return (
        f"Ollama on {machine_id} did not come up: {said.rstrip('.')}. The machine is terminated, unless others "
        f"use it.{logged}"
    )
