"""Get a leased machine whose Ollama answers: reuse, wait, start or launch; never two where one is enough."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from tasks.departure import Departure
from tasks.ec2.access import Door, open_door
from tasks.ec2.decide import Step, Why, choose
from tasks.ec2.keeper import Keeper
from tasks.ec2.launching import launch_one, seen_machine
from tasks.ec2.machines import Machine, MachineState, start
from tasks.ec2.pool import Pool, log_tail
from tasks.ec2.records import Lease
from tasks.ec2.stoppers import end
from tasks.errors import CapacityError, CloudError, HearthError, MachineLostError, PassingError, ServerError
from tasks.progress import Caution, Stage, tell

_MOST_LOSSES = 5
_CAPACITY_PAUSE_SECONDS = 15.0
_START_REFUSED = {
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "VcpuLimitExceeded",
    "InstanceLimitExceeded",
    "Unsupported",
}
_CHANGED = {"IncorrectInstanceState", "InvalidInstanceID.NotFound"}


@dataclass
class Tenancy:
    """A machine in a run's hands, until `hand_back`.

    Attributes:
        machine: as it was when Ollama answered.
        started: it was launched or started for this run.
        since: when it was taken, seconds since the epoch.
    """

    pool: Pool
    machine: Machine
    lease: Lease
    started: bool
    departure: Departure
    keeper: Keeper
    door: Door | None = None
    since: float = field(default_factory=time.time)

    def release(self) -> None:
        """Let go of what is held here; the lease itself ends by `hand_back`, or by itself."""
        self.keeper.stop()
        if self.door is not None:
            self.door.close()

    async def hand_back(self, *, broken: bool) -> None:
        """Give the lease back; a machine that did not work is ended, unless others use it.

        Raises:
            CloudError: AWS refuses or is out of reach; then the lease ends by itself.
        """
        self.release()
        if broken and not self.departure.gone:
            await end(self.pool, self.machine, Why.NEVER_WARM, mine=self.lease)
        else:
            await self.pool.records.release(self.machine.id, self.lease)


class Acquisition:
    """One run's way to a machine.

    Args:
        holder: whose lease it will be.
        slots: requests at once that the run may send.
    """

    def __init__(self, pool: Pool, holder: str, slots: int) -> None:
        self._pool = pool
        self._settings = pool.settings.ec2
        self._holder = holder
        self._slots = slots
        self._avoid: set[str] = set()

    async def run(self) -> Tenancy:
        """Return when Ollama answers.

        Raises:
            CapacityError: EC2 had no machine until the deadline.
            CloudError: AWS refuses.
            ServerError: the machine did not come up; it has been stopped.
        """
        while True:
            tenancy = await self._taken()
            try:
                return await self._up(tenancy)
            except BaseException as error:
                lost = isinstance(error, MachineLostError)
                # A person who interrupts may well try again: the machine stays for its idle time.
                await self._given_up(tenancy, broken=isinstance(error, HearthError) and not lost)
                # One that was made for this run and fails would fail again, at the same price.
                others_may_do = lost or (isinstance(error, ServerError) and not tenancy.started)
                if not others_may_do or len(self._avoid) >= _MOST_LOSSES:
                    raise
                tell(Caution(f"{error} Going on with another machine."))
                self._avoid.add(tenancy.machine.id)

    async def _taken(self) -> Tenancy:
        """Lease a machine that runs or is being started."""
        give_up_at = time.monotonic() + self._settings.capacity_seconds
        while True:
            machines = await self._pool.machines()
            records = await self._pool.records_of(tuple(m for m in machines if m.there))
            step, chosen = choose(machines, records, self._pool.stack.config, self._avoid, time.time())
            tenancy: Tenancy | None = None
            if chosen is None:
                try:
                    tenancy = await self._launched()
                except CapacityError as error:
                    left = give_up_at - time.monotonic()
                    if left <= 0:
                        raise CapacityError(
                            f"{error} It was so for {self._settings.capacity_seconds:g} s. "
                            "Add types or zones (HEARTH_EC2__TYPES, HEARTH_EC2__ZONES), another market, or try later."
                        ) from None
                    tell(Stage(f"EC2 has no machine; asking again for {left:.0f} s"))
                    await asyncio.sleep(min(_CAPACITY_PAUSE_SECONDS, max(left, 0.1)))
                    continue
            elif step is Step.WAIT:
                tell(Stage(f"waiting for {chosen.id}, which is being stopped"))
            else:
                tenancy = await self._leased(chosen, start_it=step is Step.START)
            if tenancy is not None:
                return tenancy
            await asyncio.sleep(self._settings.poll_seconds)

    async def _leased(self, chosen: Machine, *, start_it: bool) -> Tenancy | None:
        """Lease a machine, and start it if it is stopped; None if it is not to be had after all."""
        lease = self._new_lease()
        if not await self._pool.records.take(chosen.id, lease):
            return None
        tenancy = self._tenancy(chosen, lease, started=start_it)
        if start_it:
            tell(Stage(f"starting {chosen.id} ({chosen.kind})"))
            try:
                await start(self._pool.aws, chosen.id)
            except CloudError as error:
                await self._given_up(tenancy, broken=False)
                if error.code in _START_REFUSED:
                    tell(Caution(f"{chosen.id} cannot be started in {chosen.zone} just now ({error.code})."))
                    self._avoid.add(chosen.id)
                elif error.code not in _CHANGED:
                    raise
                return None
        return tenancy

    async def _launched(self) -> Tenancy | None:
        """Launch a machine and lease it; None if another run is launching one."""
        launching = asyncio.ensure_future(self._launch_and_lease())
        try:
            # Interrupted halfway, a machine would be launched and nobody would know.
            return await asyncio.shield(launching)
        except asyncio.CancelledError:
            await asyncio.wait({launching})
            if not launching.exception() and (tenancy := launching.result()) is not None:
                await self._given_up(tenancy, broken=False)
            raise

    async def _launch_and_lease(self) -> Tenancy | None:
        lease = self._new_lease()
        launched = await launch_one(self._pool, lease, self._avoid)
        return None if launched is None else self._tenancy(launched, lease, started=True)

    async def _up(self, tenancy: Tenancy) -> Tenancy:
        """Wait until EC2 says that it runs and Ollama answers."""
        tenancy.machine = await self._running(tenancy)
        tenancy.door = await open_door(self._pool, tenancy.machine)
        tenancy.keeper.watch(tenancy.door)
        await self._answering(tenancy, tenancy.door)
        return tenancy

    async def _running(self, tenancy: Tenancy) -> Machine:
        machine_id = tenancy.machine.id
        deadline = time.monotonic() + self._settings.start_seconds
        while time.monotonic() < deadline:
            seen = await seen_machine(self._pool, machine_id)
            if seen.state is MachineState.RUNNING:
                return seen
            # Right after a start, EC2 may still tell the state before it.
            starting = tenancy.started and seen.state in {MachineState.STOPPED, MachineState.STOPPING}
            if seen.state is not MachineState.PENDING and not starting:
                raise MachineLostError(f"{machine_id} is {seen.state}.")
            tell(Stage(f"{machine_id} ({seen.kind}) is {seen.state}"))
            await asyncio.sleep(self._settings.poll_seconds)
        raise ServerError(
            f"{machine_id} was not running after {self._settings.start_seconds:g} s. It is stopped; run again, "
            "or raise HEARTH_EC2__START_SECONDS."
        )

    async def _answering(self, tenancy: Tenancy, door: Door) -> None:
        """Wait until Ollama answers, for as long as a boot may take, or a glance for one that has long been up."""
        machine_id, said = tenancy.machine.id, ""
        boot_ends = tenancy.machine.launched_at + self._settings.boot_seconds
        patience = max(boot_ends - time.time(), self._pool.settings.warm.answer_seconds)
        deadline = time.monotonic() + patience
        async with door.client() as client:
            while True:
                try:
                    await client.version()
                except PassingError as error:
                    said = str(error)
                else:
                    return
                if door.shut:
                    raise MachineLostError(f"The tunnel to {machine_id} ended.")
                seen = await seen_machine(self._pool, machine_id)
                if seen.state is not MachineState.RUNNING:
                    raise MachineLostError(f"{machine_id} is {seen.state}.")
                failed = seen.stage.startswith("failed")
                if failed or time.monotonic() > deadline:
                    raise ServerError(await self._not_up(tenancy, seen.stage if failed else said))
                tell(Stage(f"{machine_id} ({seen.kind}) boots{': ' + seen.stage if seen.stage else ''}"))
                await asyncio.sleep(self._settings.poll_seconds)

    async def _not_up(self, tenancy: Tenancy, said: str) -> str:
        tail = await log_tail(self._pool, tenancy.machine.id)
        logged = f" Its boot log ends: {tail}" if tail else ""
        return (
            f"Ollama on {tenancy.machine.id} did not come up: {said.rstrip('.')}. The machine is ended, unless others "
            f"use it.{logged}"
        )

    def _new_lease(self) -> Lease:
        return Lease(self._holder, self._slots, time.time() + self._settings.lease_seconds)

    def _tenancy(self, taken: Machine, lease: Lease, *, started: bool) -> Tenancy:
        departure = Departure()
        keeper = Keeper(self._pool, taken.id, lease, departure)
        return Tenancy(self._pool, taken, lease, started, departure, keeper)

    async def _given_up(self, tenancy: Tenancy, *, broken: bool) -> None:
        try:
            await tenancy.hand_back(broken=broken)
        except CloudError as error:
            tell(Caution(f"{tenancy.machine.id} could not be given back: {error} Its lease ends by itself."))
