"""While a run uses a machine: its lease is renewed, and what becomes of the machine is seen from outside."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from tasks.backends.ec2.connection import Connection
from tasks.backends.ec2.machine import MachineState
from tasks.backends.ec2.pool import Pool
from tasks.core.aio import repeat_every
from tasks.core.interruption import Interruption
from tasks.leasing.lease import Lease

_RENEWALS = 4
"""Renewals in a lease's length: it takes three that fail to lose it."""
_UNKNOWN_LOOKS = 3


class LeaseRenewer:
    """Keeps one lease on one machine, in a thread of its own, so that a busy event loop loses no lease.

    Args:
        interruption: told when the machine announces its end, or has gone.
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
        """The machine is up, and this is the way to it: from now on tell what becomes of either."""
        self._connection = connection

    def stop(self) -> None:
        """End it; the lease stays as it is."""
        self._done.set()

    def _run(self) -> None:
        with suppress(RuntimeError):  # the interpreter ends, and takes no more calls
            asyncio.run(self._keep())

    async def _keep(self) -> None:
        """Both at once: a look that hangs must not keep the lease from being renewed."""
        settings = self._pool.settings.ec2
        await asyncio.gather(
            repeat_every(settings.poll_seconds, self._look, self._done),
            repeat_every(settings.lease_seconds / _RENEWALS, self._renew, self._done),
        )

    async def _look(self) -> None:
        if self._connection is None:
            return  # whoever starts the machine still looks after it
        if self._connection.shut:
            self._interruption.mark_gone(f"the tunnel to {self._machine} ended")
        seen = await self._pool.recent_machine(self._machine)
        if self._done.is_set():
            return
        if seen is None:
            # EC2 may for a moment not know what it told of before.
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
        if await self._pool.records.renew(self._machine, self._lease, until):
            return
        if self._done.is_set():
            return
        # It had ended while AWS was out of reach; nobody may have minded.
        taken = await self._pool.records.take(self._machine, replace(self._lease, until=until))
        if not taken:
            self._interruption.notify(f"{self._machine} is being stopped by somebody else")
        elif self._done.is_set():  # given back meanwhile
            await self._pool.records.release(self._machine, self._lease)
