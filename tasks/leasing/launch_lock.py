"""The lock on launching a machine, for one run at a time, and the result of the last launch."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tasks.core.errors import CloudError
from tasks.leasing.table import Table, Values, float_of

# Short, because a dead holder makes other runs wait; the shared client token covers a holder that was delayed.
_LOCK_SECONDS = 30.0


@dataclass(frozen=True)
class LaunchLock:
    """The lock, held.

    Attributes:
        generation: number of launches that have ended. All launches of one generation send the same client token, so
            that a holder that was delayed and its successor get one machine.
        last_machine: the machine of the last launch.
        last_at: its time, seconds since the epoch.
    """

    token: str
    generation: int
    last_machine: str
    last_at: float


class LaunchLocks:
    """The locks of the pools that keep their records in a table."""

    def __init__(self, table: Table) -> None:
        self._table = table

    @asynccontextmanager
    async def held(self, pool: str) -> AsyncIterator[LaunchLock | None]:
        """Hold the lock; yield None if another run has it. It ends by itself if its holder dies."""
        key, token, now = _key(pool), uuid.uuid4().hex[:16], self._table.now()
        taken = await self._table.update(
            key,
            "SET holder = :token, held_until = :until",
            # A call that is sent again because its response was lost must not take itself for another.
            "attribute_not_exists(held_until) OR held_until < :now OR holder = :token",
            {"token": token, "until": now + _LOCK_SECONDS, "now": now},
        )
        if not taken:
            yield None
            return
        try:
            item = await self._table.get(key)
            last = item.get("last_machine", {}).get("S", "")
            yield LaunchLock(token, int(float_of(item, "generation")), last, float_of(item, "last_at"))
        finally:
            with suppress(CloudError):  # it ends by itself
                await self._table.update(key, "SET held_until = :zero", "holder = :token", {"zero": 0, "token": token})

    def now(self) -> float:
        """Return the time by which locks end, seconds since the epoch."""
        return self._table.now()

    async def hold_on(self, pool: str, lock: LaunchLock) -> bool:
        """Prolong the lock. Return False if it was lost, because this run was delayed for too long."""
        now = self._table.now()
        values: Values = {"until": now + _LOCK_SECONDS, "token": lock.token, "now": now}
        condition = "holder = :token AND held_until > :now"
        return await self._table.update(_key(pool), "SET held_until = :until", condition, values)

    async def ended(self, pool: str, lock: LaunchLock, machine: str | None) -> None:
        """Record that a launch has ended, with its machine if it has one: the next is another."""
        change = "SET generation = :next"
        values: dict[str, float | str] = {"token": lock.token, "next": lock.generation + 1}
        if machine is not None:
            change += ", last_machine = :machine, last_at = :now"
            values |= {"machine": machine, "now": self._table.now()}
        await self._table.update(_key(pool), change, "holder = :token", values)


def _key(pool: str) -> str:
    return f"launch#{pool}"
