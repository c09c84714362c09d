"""Get a leased machine whose Ollama answers: reuse, wait, start or launch, and never two where one is enough."""

import asyncio
import time

from tasks.backends.ec2.connection import check_access
from tasks.backends.ec2.fleet import UnsettledError
from tasks.backends.ec2.instances import start
from tasks.backends.ec2.launch import ChangedError, NotUpError, bring_up, launch_one
from tasks.backends.ec2.lease import InstanceLease
from tasks.backends.ec2.machine import Machine
from tasks.backends.ec2.policy import Step
from tasks.backends.ec2.pool import Pool
from tasks.core.errors import CapacityError, CloudError, HearthError, MachineLostError
from tasks.core.events import Progress, RunWarning, emit
from tasks.leasing.lease import Lease

_MOST_LOSSES = 5
CAPACITY_PAUSE_SECONDS = 15.0
_GIVE_UP_SECONDS = 60.0
UNSETTLED_SECONDS = 180.0
"""How long EC2 may take to learn of a new instance profile; what it does not know then, it never will."""
_START_REFUSED = {
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "VcpuLimitExceeded",
    "InstanceLimitExceeded",
    "Unsupported",
}
_CHANGED = {"IncorrectInstanceState", "InvalidInstanceID.NotFound"}


class Acquisition:
    """One run's search for a machine.

    `held` has the ids of the run's machines; all acquisitions for the run keep it up to date.
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
        self._unsettled_since: float | None = None

    async def run(self) -> InstanceLease:
        """Return when Ollama answers.

        Raises:
            CapacityError: EC2 had no machine until the deadline.
            CloudError: AWS refuses.
            ServerError: the machine did not come up, and has been ended; or it cannot be reached from here.
        """
        check_access(self._pool)
        while True:
            instance = await self._take()
            try:
                return await bring_up(self._pool, instance, self._holder)
            except BaseException as error:
                not_up, lost = isinstance(error, NotUpError), isinstance(error, MachineLostError)
                # A failure on this side is no fault of a machine that others have warmed up. And a person who
                # interrupts may well try again: the machine stays for its idle time.
                failed_when_started = isinstance(error, HearthError) and instance.started
                await self._give_up(instance, broken=(not_up or failed_when_started) and not lost)
                # Another machine, started like this one, would fail like it, at the same price.
                if not (lost or (not_up and not instance.started)) or self._losses >= _MOST_LOSSES:
                    raise
                if isinstance(error, ChangedError):
                    continue  # it may be chosen again: stopped, it can be started
                emit(RunWarning(f"{error} Going on with another machine."))
                self._losses += 1
                self._avoid.add(instance.id)

    async def _take(self) -> InstanceLease:
        """Lease a machine that runs or is being started."""
        give_up_at = time.monotonic() + self._settings.capacity_seconds
        while True:
            _, step, chosen = await self._pool.survey(self._avoid | self._held, recent=True)
            instance: InstanceLease | None = None
            if chosen is not None and chosen.id in self._held:
                continue  # another acquisition of the run took it meanwhile
            if chosen is None:
                try:
                    instance = await self._launch()
                except CapacityError as error:
                    self._refuse_lasting(error)
                    left = give_up_at - time.monotonic()
                    if left <= 0:
                        raise CapacityError(
                            f"{error} That lasted for {self._settings.capacity_seconds:g} s. "
                            "Add types or zones (HEARTH_EC2__TYPES, HEARTH_EC2__ZONES) or another market, or try later."
                        ) from None
                    unsettled = isinstance(error, UnsettledError)
                    why = "does not know all of the stack yet" if unsettled else "has no machine"
                    emit(Progress(f"EC2 {why}; trying again for {left:.0f} s"))
                    await asyncio.sleep(min(CAPACITY_PAUSE_SECONDS, max(left, 0.1)))
                    continue
            elif step is Step.WAIT:
                self._wait_for(chosen)
            else:
                instance = await self._lease(chosen, start_it=step is Step.START)
            if instance is not None:
                return instance
            await asyncio.sleep(self._settings.poll_seconds)

    def _refuse_lasting(self, error: CapacityError) -> None:
        """Give up on a stack that EC2 should know by now.

        Raises:
            CloudError: it has not known it for three minutes.
        """
        if not isinstance(error, UnsettledError):
            self._unsettled_since = None
            return
        now = time.monotonic()
        self._unsettled_since = now if self._unsettled_since is None else self._unsettled_since
        if now - self._unsettled_since > UNSETTLED_SECONDS:
            raise CloudError(
                f"{error} That lasted for {UNSETTLED_SECONDS / 60:g} minutes. Run `hearth infra up ec2`, or take the "
                "pool down and up again."
            ) from None

    def _wait_for(self, stopping: Machine) -> None:
        """Wait for a machine that is being stopped, but not forever."""
        since = self._waiting_for.setdefault(stopping.id, time.monotonic())
        emit(Progress(f"waiting for {stopping.id}, which is being stopped"))
        if time.monotonic() - since > self._settings.start_seconds:
            self._avoid.add(stopping.id)

    async def _lease(self, chosen: Machine, *, start_it: bool) -> InstanceLease | None:
        """Lease a machine, and start it if it is stopped; return None if it is no longer available."""
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
                await self._give_up(instance, broken=False)
                code = error.code if isinstance(error, CloudError) else ""
                if code in _START_REFUSED:
                    emit(RunWarning(f"{chosen.id} cannot be started in {chosen.zone} just now ({code})."))
                    self._avoid.add(chosen.id)
                elif code not in _CHANGED:
                    raise
                return None
        return instance

    async def _launch(self) -> InstanceLease | None:
        """Launch a machine and lease it; return None if another run is launching one."""

        async def launch() -> InstanceLease | None:
            launched = await launch_one(self._pool, self._new_lease, self._avoid | self._held)
            return None if launched is None else InstanceLease(self._pool, *launched, started=True)

        launching = asyncio.ensure_future(launch())
        try:
            # If it were interrupted halfway, a machine would be launched and nobody would know.
            return await asyncio.shield(launching)
        except asyncio.CancelledError:
            await asyncio.wait({launching}, timeout=_GIVE_UP_SECONDS)
            if launching.done() and not launching.exception() and (instance := launching.result()) is not None:
                await self._give_up(instance, broken=False)
            raise

    def _new_lease(self, machine_id: str) -> Lease:
        self._held.add(machine_id)
        return Lease(self._holder, self._slots, self._pool.records.now() + self._settings.lease_seconds)

    async def _give_up(self, instance: InstanceLease, *, broken: bool) -> None:
        self._held.discard(instance.id)
        try:
            await instance.hand_back(broken=broken)
        except CloudError as error:
            emit(RunWarning(f"{instance.id} could not be given back: {error} Its lease ends by itself."))
