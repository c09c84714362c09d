"""What a process does that is killed between two of its calls: it acquires a machine and gives it back."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from tasks.backends.ec2.backend import Ec2Backend
from tasks.settings.settings import Settings
from tests.support.waiting import PATIENCE

LEASE_S = 36_000
"""What a dead process holds does not end by itself while a test lasts: the test ends it."""


def backend(**changed: Any) -> Ec2Backend:
    ec2 = {"poll_seconds": 0.1, "lease_seconds": LEASE_S, **changed}
    return Ec2Backend(Settings(ec2=ec2, warm={"answer_seconds": PATIENCE}, idle_minutes=0.001))


async def acquire_and_release(**changed: Any) -> str:
    used = backend(**changed)
    allocation = await used.acquire(2, "a run that may be killed")
    async with allocation.endpoint.client(PATIENCE) as client:
        await client.version()
    await used.release(allocation)
    return allocation.machine.id


def main(environment: dict[str, str], changed: dict[str, Any]) -> None:
    os.environ.update(environment)
    asyncio.run(acquire_and_release(**changed))
