"""Leases on machines, in records that are changed only on condition.

A machine's record holds its leases. A lease is a token with an end, which its run renews until it ends or dies. A
process that wants to stop a machine closes its record first, which succeeds only if nothing has changed since it was
seen without leases; while it is closed, no lease can be taken. So of a lease and a stop at the same moment exactly one
succeeds, and the other knows. A closed record opens by itself, so that a process that dies blocks no run.
"""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tasks.leasing.lease import Lease, Record
from tasks.leasing.table import Item, Table, float_of, number, string
from tasks.leasing.usage_ledger import Ledger, best_effort

CLOSED_SECONDS = 90.0
"""How long a record stays closed for a stop."""
_FORGET_SECONDS = 90 * 86_400


class Records:
    """The records of machines, in a table.

    Attributes:
        ledger: of ended leases, and of machines.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self.ledger = Ledger(table)

    def now(self) -> float:
        """Return the time by which leases end, seconds since the epoch: the table's, not this machine's."""
        return self._table.now()

    async def get(self, machine: str) -> Record:
        """Return a machine's record; an empty one if there is none."""
        return _record(machine, await self._table.get(machine))

    async def take(self, machine: str, lease: Lease) -> bool:
        """Lease a machine. Return False if it is being stopped."""
        await self._ensure(machine)  # its response sets the clock
        now = self.now()
        return await self._table.update(
            machine,
            "SET leases.#token = :lease, stopped_at = :zero, forget_at = :forget ADD version :one",
            "closed_until <= :now",
            {"lease": lease_value(lease), "now": now, "one": 1, "zero": 0, "forget": int(now) + _FORGET_SECONDS},
            {"#token": lease.token},
        )

    async def renew(self, machine: str, lease: Lease, until: float) -> bool:
        """Move a lease's end. Return False if it was lost: it had ended, and the machine may have been stopped."""
        return await self._table.update(
            machine,
            "SET leases.#token.ends_at = :until ADD version :one",
            "attribute_exists(leases.#token) AND closed_until <= :now",
            {"until": until, "now": self.now(), "one": 1},
            {"#token": lease.token},
        )

    async def release(self, machine: str, lease: Lease, work: Mapping[str, float] | None = None) -> None:
        """Give a lease back, and record it in the ledger with the page seconds of each document that was read under it.

        A lease that is lost already is no error.
        """
        now = self.now()
        released = await self._table.update(
            machine,
            "REMOVE leases.#token SET released_at = :now ADD version :one",
            "attribute_exists(leases.#token)",
            {"now": now, "one": 1},
            {"#token": lease.token},
        )
        if released:
            await best_effort(self.ledger.leased)(machine, lease, now, work or {})

    async def close(self, seen: Record) -> Record | None:
        """Close a machine's record to leases, if it is as it was seen, and drop its ended leases.

        Returns:
            The record as it is then; None if it has changed since it was seen.
        """
        await self._ensure(seen.machine)
        until, token = self.now() + CLOSED_SECONDS, uuid.uuid4().hex[:16]
        ended = {f"#lease{n}": lease.token for n, lease in enumerate(seen.leases)}
        dropped = f" REMOVE {', '.join(f'leases.{name}' for name in ended)}" if ended else ""
        closed = await self._table.update(
            seen.machine,
            f"SET closed_until = :until, closed_by = :token{dropped} ADD version :one",
            # A call that is sent again because its response was lost must not take itself for another.
            "version = :seen OR closed_by = :token",
            {"until": until, "seen": seen.version, "one": 1, "token": token},
            ended,
        )
        return replace(seen, leases=(), closed_until=until, closed_by=token) if closed else None

    async def reopen(self, closed: Record) -> None:
        """Open a record to leases, unless another process has closed it since."""
        change = "SET closed_until = :zero ADD version :one"
        await self._table.update(
            closed.machine, change, "closed_by = :token", {"zero": 0, "token": closed.closed_by, "one": 1}
        )

    async def note_stopped(self, machine: str, at: float, *, anew: bool = False) -> None:
        """Record when a machine was first seen stopped; 0: it runs. `anew` overwrites an earlier time."""
        await self._ensure(machine)
        condition, values = "attribute_exists(id)" if anew else "stopped_at = :zero", {} if anew else {"zero": 0}
        change = "SET stopped_at = :at ADD version :one"
        await self._table.update(machine, change, condition, {"at": at, "one": 1, **values})

    async def forget(self, machine: str) -> None:
        """Delete the record of a machine that is gone."""
        await self._table.delete(machine)

    async def _ensure(self, machine: str) -> None:
        """Create the record if there is none."""
        names = ("closed_until", "released_at", "stopped_at", "version")
        counters: dict[str, Any] = {name: number(0) for name in names}
        forget_at = number(int(self.now()) + _FORGET_SECONDS)
        await self._table.put_new(machine, {**counters, "leases": {"M": {}}, "forget_at": forget_at})


def lease_value(lease: Lease) -> dict[str, Any]:
    """Return a lease as an attribute value of DynamoDB."""
    times = {"since": number(lease.since), "ends_at": number(lease.until)}
    return {"M": {"holder": string(lease.holder), "slots": number(lease.slots), **times}}


def _record(machine: str, item: Item) -> Record:
    leases = item.get("leases", {}).get("M", {})
    return Record(
        machine=machine,
        leases=tuple(_lease(token, value["M"]) for token, value in leases.items()),
        closed_until=float_of(item, "closed_until"),
        closed_by=item.get("closed_by", {}).get("S", ""),
        released_at=float_of(item, "released_at"),
        stopped_at=float_of(item, "stopped_at"),
        version=int(float_of(item, "version")),
    )


def _lease(token: str, value: Item) -> Lease:
    slots, until = int(float_of(value, "slots")), float_of(value, "ends_at")
    return Lease(value["holder"]["S"], slots, until, token, float_of(value, "since"))
