"""Get a leased machine whose Ollama answers: reuse, wait, start or launch; never two where one is enough."""

from __future__ import annotations

import asyncio
import time

from tasks.backends.ec2.connection import Connection, check_access, open_door
from tasks.backends.ec2.instance_lease import InstanceLease
from tasks.backends.ec2.instances import Machine, MachineState, start
from tasks.backends.ec2.launch import launch_one, seen_machine, set_up
from tasks.backends.ec2.policy import Step
from tasks.backends.ec2.pool import Pool, log_tail
from tasks.backends.ec2.usage import noticed, noticed_up
from tasks.core.errors import (
    CapacityError,
    CloudError,
    HearthError,
    MachineLostError,
    PassingError,
    ServerError,
    SilentError,
)
from tasks.core.events import Progress, RunWarning, emit
from tasks.leasing.lease import Lease

_MOST_LOSSES = 5
_CAPACITY_PAUSE_SECONDS = 15.0
_GIVE_UP_SECONDS = 60.0
_START_REFUSED = {
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "VcpuLimitExceeded",
    "InstanceLimitExceeded",
    "Unsupported",
}
_CHANGED = {"IncorrectInstanceState", "InvalidInstanceID.NotFound"}


class _NotUpError(ServerError):
    """The machine itself is to blame."""


class _ChangedError(MachineLostError):
    """It was not any more what it was when it was chosen."""


class Acquisition:
    """One run's way to a machine.

    Args:
        holder: whose lease it will be.
        slots: requests at once that the run may send.
        held: ids of the machines that the run has, kept up to date by this and by all who acquire for it.
    """

    def __init__(self, pool: Pool, holder: str, slots: int, held: set[str]) -> None:
        self._pool = pool
        self._settings = pool.settings.ec2
        self._holder = holder
        self._slots = slots
        self._held = held
        self._avoid: set[str] = set()
        self._losses = 0
        self._waiting_for: dict[str, float] = {}

    async def run(self) -> InstanceLease:
        """Return when Ollama answers.

        Raises:
            CapacityError: EC2 had no machine until the deadline.
            CloudError: AWS refuses.
            ServerError: the machine did not come up, and has been ended; or it cannot be reached from here.
        """
        check_access(self._pool)
        while True:
            instance = await self._taken()
            try:
                return await self._up(instance)
            except BaseException as error:
                not_up, lost = isinstance(error, _NotUpError), isinstance(error, MachineLostError)
                # What fails on this side is no fault of a machine that others have got warm. And a person who
                # interrupts may well try again: the machine stays for its idle time.
                fails_us = isinstance(error, HearthError) and instance.started
                await self._given_up(instance, broken=(not_up or fails_us) and not lost)
                # One that was made for this run and does not come up would fail again, at the same price.
                if not (lost or (not_up and not instance.started)) or self._losses >= _MOST_LOSSES:
                    raise
                if isinstance(error, _ChangedError):
                    continue  # to be chosen again: stopped, it can be started
                emit(RunWarning(f"{error} Going on with another machine."))
                self._losses += 1
                self._avoid.add(instance.id)

    async def _taken(self) -> InstanceLease:
        """Lease a machine that runs or is being started."""
        give_up_at = time.monotonic() + self._settings.capacity_seconds
        while True:
            _, step, chosen = await self._pool.survey(self._avoid | self._held)
            instance: InstanceLease | None = None
            if chosen is not None and chosen.id in self._held:
                continue  # taken meanwhile, for another berth of the run
            if chosen is None:
                try:
                    instance = await self._launched()
                except CapacityError as error:
                    left = give_up_at - time.monotonic()
                    if left <= 0:
                        raise CapacityError(
                            f"{error} It was so for {self._settings.capacity_seconds:g} s. "
                            "Add types or zones (HEARTH_EC2__TYPES, HEARTH_EC2__ZONES), another market, or try later."
                        ) from None
                    emit(Progress(f"EC2 has no machine; asking again for {left:.0f} s"))
                    await asyncio.sleep(min(_CAPACITY_PAUSE_SECONDS, max(left, 0.1)))
                    continue
            elif step is Step.WAIT:
                self._wait_for(chosen)
            else:
                instance = await self._leased(chosen, start_it=step is Step.START)
            if instance is not None:
                return instance
            await asyncio.sleep(self._settings.poll_seconds)

    def _wait_for(self, stopping: Machine) -> None:
        """Wait for what is being stopped, but not for ever."""
        since = self._waiting_for.setdefault(stopping.id, time.monotonic())
        emit(Progress(f"waiting for {stopping.id}, which is being stopped"))
        if time.monotonic() - since > self._settings.start_seconds:
            self._avoid.add(stopping.id)

    async def _leased(self, chosen: Machine, *, start_it: bool) -> InstanceLease | None:
        """Lease a machine, and start it if it is stopped; None if it is not to be had after all."""
        lease = self._new_lease(chosen.id)
        if not await self._pool.records.take(chosen.id, lease):
            self._held.discard(chosen.id)
            return None
        stale = chosen.stage if start_it else ""
        instance = InstanceLease(self._pool, chosen.id, lease, started=start_it, machine=chosen, stale_stage=stale)
        if start_it:
            emit(Progress(f"starting {chosen.id} ({chosen.kind})"))
            try:
                await start(self._pool.aws, chosen.id)
            except BaseException as error:
                await self._given_up(instance, broken=False)
                code = error.code if isinstance(error, CloudError) else ""
                if code in _START_REFUSED:
                    emit(RunWarning(f"{chosen.id} cannot be started in {chosen.zone} just now ({code})."))
                    self._avoid.add(chosen.id)
                elif code not in _CHANGED:
                    raise
                return None
        return instance

    async def _launched(self) -> InstanceLease | None:
        """Launch a machine and lease it; None if another run is launching one."""
        launching = asyncio.ensure_future(self._launch())
        try:
            # Interrupted halfway, a machine would be launched and nobody would know.
            return await asyncio.shield(launching)
        except asyncio.CancelledError:
            await asyncio.wait({launching}, timeout=_GIVE_UP_SECONDS)
            if launching.done() and not launching.exception() and (instance := launching.result()) is not None:
                await self._given_up(instance, broken=False)
            raise

    async def _launch(self) -> InstanceLease | None:
        launched = await launch_one(self._pool, self._new_lease, self._avoid | self._held)
        return None if launched is None else InstanceLease(self._pool, *launched, started=True)

    async def _up(self, instance: InstanceLease) -> InstanceLease:
        """Wait until EC2 says that it runs and Ollama answers."""
        if instance.machine is None:
            instance.machine = await set_up(self._pool, instance.id)
        instance.machine = await self._running(instance)
        await noticed(self._pool, instance.machine, self._holder if instance.started else "")
        instance.door = await open_door(self._pool, instance.machine)
        await self._answering(instance, instance.machine, instance.door)
        await noticed_up(self._pool, instance.machine)
        instance.keeper.watch(instance.door)
        return instance

    async def _running(self, instance: InstanceLease) -> Machine:
        deadline = time.monotonic() + self._settings.start_seconds
        # Right after a start, EC2 may still tell the state before it.
        before_start = {MachineState.STOPPED, MachineState.STOPPING} if instance.started else set()
        while True:
            asked = time.monotonic()
            seen = await seen_machine(self._pool, instance.id)
            if seen.state is MachineState.RUNNING:
                return seen
            if seen.state is MachineState.PENDING:
                before_start = set()
            elif not instance.started and seen.state in {MachineState.STOPPING, MachineState.STOPPED}:
                raise _ChangedError(f"{instance.id} is {seen.state}.")
            elif seen.state not in before_start:
                await self._check_stage(instance, seen)
                raise MachineLostError(f"{instance.id} is {seen.state}.")
            if asked > deadline:
                raise _NotUpError(
                    f"{instance.id} was not running after {self._settings.start_seconds:g} s. It is terminated, unless "
                    "others use it; run again, or raise HEARTH_EC2__START_SECONDS."
                )
            emit(Progress(f"{instance.id} ({seen.kind}) is {seen.state}"))
            await asyncio.sleep(self._settings.poll_seconds)

    async def _answering(self, instance: InstanceLease, booting: Machine, door: Connection) -> None:
        """Wait until Ollama answers, for as long as a boot may take, or a glance for one that has long been up."""
        boot_ends = booting.launched_at + self._settings.boot_seconds
        glance = self._pool.settings.warm.answer_seconds
        deadline = time.monotonic() + max(boot_ends - time.time(), glance)
        serving_since: float | None = None  # when it was first seen to say so
        async with door.client() as client:
            while True:
                asked = time.monotonic()
                try:
                    await client.version()
                except PassingError as error:
                    said, silent = str(error), isinstance(error, SilentError)
                else:
                    return
                if door.shut:
                    raise MachineLostError(f"The tunnel to {instance.id} ended.")
                seen = await seen_machine(self._pool, instance.id)
                await self._check_stage(instance, seen)
                if seen.state is not MachineState.RUNNING:
                    raise MachineLostError(f"{instance.id} is {seen.state}.")
                serves = seen.stage == "serving" and seen.stage != instance.stale_stage
                # Whatever was slow meanwhile, AWS or this process: only a request sent after the limit can fail it.
                unheard = serves and serving_since is not None and asked - serving_since > glance
                if unheard and not silent:
                    raise _NotUpError(await self._not_up(instance.id, f"it says that it serves, but {said}"))
                if unheard:
                    raise ServerError(
                        f"{instance.id} says that it serves, but cannot be reached from here at {door.url}. Check the "
                        "network, the VPN, and the source that was allowed by `hearth infra up ec2 --allow-from`."
                    )
                if asked > deadline:
                    raise _NotUpError(await self._not_up(instance.id, said))
                if not serves:
                    serving_since = None
                elif serving_since is None:
                    serving_since = time.monotonic()
                emit(Progress(f"{instance.id} ({seen.kind}) boots{': ' + seen.stage if seen.stage else ''}"))
                await asyncio.sleep(self._settings.poll_seconds)

    async def _check_stage(self, instance: InstanceLease, seen: Machine) -> None:
        """Raise if the machine says that it failed, which goes before its state: it may have ended itself for that.

        Raises:
            _NotUpError: another one would fail, too.
        """
        if seen.stage.startswith("failed") and seen.stage != instance.stale_stage:
            raise _NotUpError(await self._not_up(instance.id, seen.stage))

    async def _not_up(self, machine_id: str, said: str) -> str:
        tail = await log_tail(self._pool, machine_id)
        logged = f" Its boot log ends: {tail}" if tail else ""
        return (
            f"Ollama on {machine_id} did not come up: {said.rstrip('.')}. The machine is terminated, unless others "
            f"use it.{logged}"
        )

    def _new_lease(self, machine_id: str) -> Lease:
        self._held.add(machine_id)
        return Lease(self._holder, self._slots, self._pool.records.now() + self._settings.lease_seconds)

    async def _given_up(self, instance: InstanceLease, *, broken: bool) -> None:
        self._held.discard(instance.id)
        try:
            await instance.hand_back(broken=broken)
        except CloudError as error:
            emit(RunWarning(f"{instance.id} could not be given back: {error} Its lease ends by itself."))
