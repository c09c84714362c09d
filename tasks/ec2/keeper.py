"""While a run uses a machine: its lease is renewed, and what becomes of the machine is seen from outside."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime

from tasks.departure import Departure
from tasks.ec2.access import Door
from tasks.ec2.machines import MachineState, machine
from tasks.ec2.pool import Pool
from tasks.ec2.records import Lease
from tasks.errors import CloudError

_RENEWALS = 4
"""Renewals in a lease's length: it takes three that fail to lose it."""


class Keeper:
    """Keeps one lease on one machine, in a thread of its own, so that a busy event loop loses no lease.

    Args:
        departure: told when the machine announces its end, or has gone.
    """

    def __init__(self, pool: Pool, machine_id: str, lease: Lease, departure: Departure) -> None:
        self._pool = pool
        self._machine = machine_id
        self._lease = lease
        self._departure = departure
        self._done = threading.Event()
        self._door: Door | None = None
        self._thread = threading.Thread(target=self._run, name="hearth-lease", daemon=True)
        self._thread.start()

    def watch(self, door: Door) -> None:
        """Tell, too, when the way to the machine is shut."""
        self._door = door

    def stop(self) -> None:
        """End it; the lease stays as it is."""
        self._done.set()

    def _run(self) -> None:
        with suppress(RuntimeError):  # the interpreter ends, and takes no more calls
            asyncio.run(self._keep())

    async def _keep(self) -> None:
        settings = self._pool.settings.ec2
        renew_at = time.monotonic() + settings.lease_seconds / _RENEWALS
        while not await asyncio.to_thread(self._done.wait, settings.poll_seconds):
            # AWS out of reach is no reason to stop reading: the machine may well go on.
            with suppress(CloudError):
                await self._look()
            if time.monotonic() >= renew_at:
                with suppress(CloudError):
                    await self._renew()
                    renew_at = time.monotonic() + settings.lease_seconds / _RENEWALS

    async def _look(self) -> None:
        if self._door is not None and self._door.shut:
            self._departure.leave(f"the tunnel to {self._machine} ended")
        seen = await machine(self._pool.aws, self._machine)
        if self._done.is_set():
            return
        if seen is None or seen.state not in {MachineState.PENDING, MachineState.RUNNING}:
            self._departure.leave(f"{self._machine} is {seen.state if seen else 'gone'}")
        elif seen.notice is not None:
            at = datetime.fromtimestamp(seen.notice.at, UTC)
            self._departure.announce(f"{self._machine} goes at {at:%H:%M:%S} UTC ({seen.notice.why})")

    async def _renew(self) -> None:
        until = time.time() + self._pool.settings.ec2.lease_seconds
        if await self._pool.records.renew(self._machine, self._lease, until):
            return
        # It had ended while AWS was out of reach; nobody may have minded.
        if not self._done.is_set() and not await self._pool.records.take(self._machine, self._lease):
            self._departure.announce(f"{self._machine} is being stopped by somebody else")
