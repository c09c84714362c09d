"""A machine in a run's hands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.backends.ec2.connection import Connection
from tasks.backends.ec2.instances import machine as described
from tasks.backends.ec2.lease_renewal import LeaseRenewer
from tasks.backends.ec2.machine import Machine
from tasks.backends.ec2.policy import Why
from tasks.backends.ec2.pool import Pool
from tasks.backends.ec2.reaper import end
from tasks.backends.ec2.usage import noticed
from tasks.core.errors import CloudError
from tasks.core.interruption import Interruption
from tasks.leasing.lease import Lease

_HAND_BACK_SECONDS = 15.0


@dataclass
class InstanceLease:
    """A leased machine, until `hand_back`.

    Attributes:
        id: the machine's.
        lease: on it, kept by `renewer`.
        started: it was launched or started for this run.
        machine: as EC2 described it last; None right after its launch.
        stale_stage: what it said of itself before it was started: its tags outlive a stop.
        connection: the way to its Ollama, when that is known.
        since: when it was taken, seconds since the epoch.
    """

    pool: Pool
    id: str
    lease: Lease
    started: bool
    machine: Machine | None = None
    stale_stage: str = ""
    connection: Connection | None = None
    interruption: Interruption = field(default_factory=Interruption)
    since: float = field(default_factory=time.time)
    renewer: LeaseRenewer = field(init=False)

    def __post_init__(self) -> None:
        """Begin to keep the lease."""
        self.renewer = LeaseRenewer(self.pool, self.id, self.lease, self.interruption)

    def release(self) -> None:
        """Let go of what is held here; the lease itself ends by `hand_back`, or by itself."""
        self.renewer.stop()
        if self.connection is not None:
            self.connection.close()

    async def hand_back(self, *, broken: bool, work: Mapping[str, float] | None = None) -> None:
        """Give the lease back; a machine that did not work is ended, unless others use it.

        Args:
            broken: it did not work.
            work: page seconds of each document that was read on it.

        Raises:
            CloudError: AWS refuses or does not answer in 15 s; then the lease ends by itself.
        """
        self.release()
        try:
            async with asyncio.timeout(_HAND_BACK_SECONDS):
                if broken and self.machine is not None and not self.interruption.gone:
                    await end(self.pool, self.machine, Why.NEVER_WARM, mine=self.lease, work=work)
                else:
                    await self.pool.records.release(self.id, self.lease, work)
                if (
                    self.interruption.gone
                    and (seen := await described(self.pool.aws, self.id, at_once=True)) is not None
                ):
                    await noticed(self.pool, seen)
        except TimeoutError:
            raise CloudError(f"AWS did not answer in {_HAND_BACK_SECONDS:g} s.") from None
