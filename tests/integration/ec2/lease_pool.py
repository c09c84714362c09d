"""A pool whose leases last for hours, and leases in it."""

from __future__ import annotations

import time

from tasks.backends.ec2.pool import Pool as OpenPool
from tasks.backends.ec2.pool import open_pool
from tasks.leasing.lease import Lease, Record
from tasks.settings.settings import Settings

MACHINE = "i-0123456789abcdef0"
UPDATE = "UpdateItem"


LEASE_S = 36_000.0


async def opened() -> OpenPool:
    """Open the pool; its leases last for hours, and are renewed ten times a second."""
    return await open_pool(Settings(ec2={"poll_seconds": 0.1, "lease_seconds": LEASE_S}))


def lease(seconds: float = LEASE_S, holder: str = "paper on desk") -> Lease:
    return Lease(holder, 2, time.time() + seconds)


async def leased(pool: OpenPool, machine: str = MACHINE, seconds: float = LEASE_S) -> Lease:
    taken = lease(seconds)
    assert await pool.records.take(machine, taken)
    return taken


async def closed_over(pool: OpenPool) -> tuple[Lease, Record]:
    """A lease that ended, on a record that somebody has closed since."""
    ended = await leased(pool, seconds=-1)
    closed = await pool.records.close(await pool.records.get(MACHINE))
    assert closed is not None
    return ended, closed


async def live(pool: OpenPool, machine: str = MACHINE) -> list[str]:
    """The tokens of the leases that have not ended."""
    return [one.token for one in (await pool.records.get(machine)).live(time.time())]
