"""Keep a lease while a run uses a machine, in a thread of its own, so that a busy event loop loses none."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from tasks.core.aio import repeat_every
from tasks.leasing.lease import Lease
from tasks.leasing.leases import Records

RENEWALS = 4
"""Renewals in a lease's length: three in a row must fail before it is lost."""


class LeaseRenewer:
    """Renews a lease of some seconds until it is stopped. The lease itself stays as it is then.

    The thread calls `on_start` before it repeats anything, then each of the jobs after its seconds. It calls `on_lost`
    if the lease is lost, and the machine is being stopped.
    """

    def __init__(
        self,
        records: Records,
        machine: str,
        lease: Lease,
        seconds: float,
        jobs: dict[Callable[[], Awaitable[object]], float],
        on_lost: Callable[[], None] = lambda: None,
        on_start: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._records = records
        self._machine = machine
        self._lease = lease
        self._seconds = seconds
        self._jobs = jobs
        self._on_lost = on_lost
        self._on_start = on_start
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hearth-lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread when its call under way has ended."""
        self._done.set()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._done.is_set()

    def wait_ended(self, timeout: float | None = None) -> bool:
        """Wait for the thread to end after `stop`, at most `timeout` seconds, and return whether it did."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        with suppress(RuntimeError):  # the interpreter ends, and takes no more calls
            asyncio.run(self._keep())

    async def _keep(self) -> None:
        """Do all at once: a look that hangs must not keep the lease from being renewed."""
        if self._on_start is not None:
            await self._on_start()
        await asyncio.gather(
            *(repeat_every(seconds, job, self._done) for job, seconds in self._jobs.items()),
            repeat_every(self._seconds / RENEWALS, self._renew, self._done),
        )

    async def _renew(self) -> None:
        until = self._records.now() + self._seconds
        if await self._records.renew(self._machine, self._lease, until) or self.stopped:
            return
        # It had ended while AWS could not be reached; the machine may still be free.
        taken = await self._records.take(self._machine, replace(self._lease, until=until))
        if not taken:
            self._on_lost()
        elif self.stopped:  # given back meanwhile
            await self._records.release(self._machine, self._lease)
