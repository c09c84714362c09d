"""A run's lease on a machine: renewed while the run uses it, and the machine watched from outside."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tasks.backends.base import ServerLease
from tasks.backends.ec2.connection import Connection
from tasks.backends.ec2.instances import machine as described
from tasks.backends.ec2.machine import Machine, MachineState
from tasks.backends.ec2.policy import Why
from tasks.backends.ec2.pool import Pool, log_tail
from tasks.backends.ec2.reaper import end
from tasks.backends.ec2.status import status_of
from tasks.backends.ec2.usage import record_state, why_over_budget
from tasks.backends.server_status import ServerStatus, leased
from tasks.core.errors import CloudError
from tasks.leasing.lease import Lease
from tasks.leasing.renewer import LeaseRenewer

_HAND_BACK_SECONDS = 15.0
_UNKNOWN_LOOKS = 3


@dataclass
class InstanceLease(ServerLease):
    """A leased machine, until `hand_back`.

    Attributes:
        started: it was launched or started for this run.
        machine: its latest description by EC2; None right after its launch.
        stale_stage: its stage tag from before it was started: tags outlive a stop.
        connection: to its Ollama, once it is open.
        since: when it was taken, seconds since the epoch.
    """

    pool: Pool
    id: str
    lease: Lease
    started: bool
    machine: Machine | None = None
    stale_stage: str = ""
    connection: Connection | None = None
    since: float = field(default_factory=time.time)
    renewer: LeaseRenewer = field(init=False)
    managed = True

    def __post_init__(self) -> None:
        """Start to renew the lease."""
        settings = self.pool.settings.ec2
        self.has_budget = settings.max_usd_a_day is not None
        self._watching, self._unknown = False, 0
        self.renewer = LeaseRenewer(
            self.pool.records,
            self.id,
            self.lease,
            settings.lease_seconds,
            {self._look: settings.poll_seconds},
            on_lost=lambda: self.interruption.notify(f"{self.id} is being stopped by another process"),
        )

    def watch(self) -> None:
        """Start to report what becomes of the machine, which is up, and of the connection to it."""
        self._watching = True

    def release(self) -> None:
        """Stop the renewal and close the connection; the lease itself ends by `hand_back`, or by itself."""
        self.renewer.stop()
        if self.connection is not None:
            self.connection.close()

    async def status(self) -> ServerStatus:
        """See `ServerLease`."""
        found = await status_of(self.pool, self.id)
        return leased(found[0].leases, found[0].ends) if found else ServerStatus("none", "it is gone")

    async def log_tail(self) -> str | None:
        """See `ServerLease`."""
        return await log_tail(self.pool, self.id) or ""

    async def over_budget(self) -> str | None:
        """See `ServerLease`."""
        return await why_over_budget(self.pool)

    async def hand_back(self, *, broken: bool) -> None:
        """Give the lease back; a machine that did not work is ended, unless others use it.

        Raises:
            CloudError: AWS refuses or does not answer in 15 s; then the lease ends by itself.
        """
        self.release()
        try:
            async with asyncio.timeout(_HAND_BACK_SECONDS):
                if broken and self.machine is not None and not self.interruption.gone:
                    await end(self.pool, self.machine, Why.NEVER_WARM, mine=self.lease, work=self.work)
                else:
                    await self.pool.records.release(self.id, self.lease, self.work)
                if (
                    self.interruption.gone
                    and (seen := await described(self.pool.aws, self.id, at_once=True)) is not None
                ):
                    await record_state(self.pool, seen)
        except TimeoutError:
            raise CloudError(f"AWS did not answer in {_HAND_BACK_SECONDS:g} s.") from None

    async def _look(self) -> None:
        """Report what becomes of the machine, and of the connection to it."""
        if not self._watching or self.connection is None:
            return  # the acquisition still looks after it
        if self.connection.shut:
            self.interruption.mark_gone(f"the tunnel to {self.id} ended")
        seen = await self.pool.recent_machine(self.id)
        if self.renewer.stopped:
            return
        if seen is None:
            # EC2 may for a moment not know a machine that it has listed before.
            self._unknown += 1
            if self._unknown >= _UNKNOWN_LOOKS:
                self.interruption.mark_gone(f"{self.id} is gone")
            return
        self._unknown = 0
        if seen.state not in {MachineState.PENDING, MachineState.RUNNING}:
            self.interruption.mark_gone(f"{self.id} is {seen.state}")
        elif seen.notice is not None:
            at = datetime.fromtimestamp(seen.notice.at, UTC)
            self.interruption.notify(f"{self.id} goes at {at:%H:%M:%S} UTC ({seen.notice.why})")
