"""A run's lease on a machine: renewed while the run uses it, and the machine watched from outside."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tasks.backends.base import ServerLease
from tasks.backends.ec2.billing import why_over_budget
from tasks.backends.ec2.connection import Connection
from tasks.backends.ec2.instances import machine as described
from tasks.backends.ec2.machine import Machine, MachineState
from tasks.backends.ec2.policy import Why
from tasks.backends.ec2.pool import Pool, log_tail
from tasks.backends.ec2.reaper import end
from tasks.backends.ec2.status import status_of
from tasks.backends.ec2.usage import record_state
from tasks.backends.server_status import ServerStatus, leased
from tasks.core.aio import repeat_every
from tasks.core.errors import CloudError
from tasks.core.interruption import Interruption
from tasks.leasing.lease import Lease

_HAND_BACK_SECONDS = 15.0
_RENEWALS = 4
"""Renewals in a lease's length: three in a row must fail before it is lost."""
_UNKNOWN_LOOKS = 3


@dataclass
class InstanceLease(ServerLease):
    """A leased machine, until `hand_back`.

    Attributes:
        id: the machine's.
        lease: on it, kept by `renewer`.
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
        self.has_budget = self.pool.settings.ec2.max_usd_a_day is not None
        self.renewer = LeaseRenewer(self.pool, self.id, self.lease, self.interruption)

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


class LeaseRenewer:
    """Renews one lease on one machine, in a thread of its own, so that a busy event loop loses no lease.

    Args:
        interruption: notified when the machine announces its end, or has gone.
    """

    def __init__(self, pool: Pool, machine_id: str, lease: Lease, interruption: Interruption) -> None:
        self._pool = pool
        self._machine = machine_id
        self._lease = lease
        self._interruption = interruption
        self._done = threading.Event()
        self._connection: Connection | None = None
        self._unknown = 0
        self._thread = threading.Thread(target=self._run, name="hearth-lease", daemon=True)
        self._thread.start()

    def watch(self, connection: Connection) -> None:
        """Start to report what becomes of the machine, which is up, and of the connection to it."""
        self._connection = connection

    def stop(self) -> None:
        """Stop the renewal; the lease stays as it is."""
        self._done.set()

    def wait_ended(self, timeout: float) -> bool:
        """Wait for the thread to end after `stop`, at most `timeout` seconds, and return whether it did."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        with suppress(RuntimeError):  # the interpreter ends, and takes no more calls
            asyncio.run(self._keep())

    async def _keep(self) -> None:
        """Do both at once: a look that hangs must not keep the lease from being renewed."""
        settings = self._pool.settings.ec2
        await asyncio.gather(
            repeat_every(settings.poll_seconds, self._look, self._done),
            repeat_every(settings.lease_seconds / _RENEWALS, self._renew, self._done),
        )

    async def _look(self) -> None:
        if self._connection is None:
            return  # the acquisition still looks after it
        if self._connection.shut:
            self._interruption.mark_gone(f"the tunnel to {self._machine} ended")
        seen = await self._pool.recent_machine(self._machine)
        if self._done.is_set():
            return
        if seen is None:
            # EC2 may for a moment not know a machine that it has listed before.
            self._unknown += 1
            if self._unknown >= _UNKNOWN_LOOKS:
                self._interruption.mark_gone(f"{self._machine} is gone")
            return
        self._unknown = 0
        if seen.state not in {MachineState.PENDING, MachineState.RUNNING}:
            self._interruption.mark_gone(f"{self._machine} is {seen.state}")
        elif seen.notice is not None:
            at = datetime.fromtimestamp(seen.notice.at, UTC)
            self._interruption.notify(f"{self._machine} goes at {at:%H:%M:%S} UTC ({seen.notice.why})")

    async def _renew(self) -> None:
        until = self._pool.records.now() + self._pool.settings.ec2.lease_seconds
        if await self._pool.records.renew(self._machine, self._lease, until) or self._done.is_set():
            return
        # It had ended while AWS could not be reached; the machine may still be free.
        taken = await self._pool.records.take(self._machine, replace(self._lease, until=until))
        if not taken:
            self._interruption.notify(f"{self._machine} is being stopped by somebody else")
        elif self._done.is_set():  # given back meanwhile
            await self._pool.records.release(self._machine, self._lease)
