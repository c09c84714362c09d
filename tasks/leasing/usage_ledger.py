"""The use of a pool's machines, kept beyond machines and leases: an item for each start, and for each ended lease.

Each process that starts, leases or stops a machine records what it knows. Recording the same twice changes nothing, so
that a stop which nobody recorded (a watchdog's, spot's, one by hand) is added by the next process that looks, from what
EC2 says: see `tasks.backends.ec2.usage`. A record that cannot be written is warned of, and holds up nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from tasks.core.errors import CloudError
from tasks.core.events import RunWarning, emit
from tasks.costs.attribution import Rates, Span, Use
from tasks.leasing.table import Item, Table, Values, float_of, number, string

if TYPE_CHECKING:
    from tasks.leasing.lease import Lease

P = ParamSpec("P")

_KEPT_SECONDS = 400 * 86_400
"""More than a year, so that the same month of two years can be compared."""
_SPAN, _LEASE = "span ", "lease "
# DynamoDB's code for a missing index; the second is moto's.
_NO_INDEX = {"ValidationException", "ResourceNotFoundException"}
_MOST_DOCUMENTS = 2_000
"""Most documents named in one lease: DynamoDB takes 400 kB an item."""


def best_effort(record: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
    """Have a function that makes entries warn where it would fail: no missing entry may keep a machine running."""

    @wraps(record)
    async def recorded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await record(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - see above
            emit(RunWarning(f"The costs will lack something: {error}"))

    return recorded


class Ledger:
    """The entries, in a pool's table. A start is known by its machine and its time, in seconds since the epoch."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def has(self, machine: str, started_at: float) -> bool:
        """Return whether a start is recorded."""
        return bool(await self._table.get(_span_key(machine, started_at)))

    async def started(self, span: Span, by: str = "") -> None:
        """Record a start with its rates, unless it is recorded. `by` holds the lease for which it was made."""
        rates, at = span.rates, span.started / 1000
        item: dict[str, Any] = {
            **_stamp(at),
            **{"machine": string(span.machine), "kind": string(span.kind), "started_at": number(at)},
            **{"started_by": string(by), "seen_at": number(at)},
            **{"address_usd": _usd(rates.address), "disk_usd": _usd(rates.disk)},
            **({"launch_usd": _usd(rates.launch)} if rates.launch else {}),
            **({} if rates.machine is None else {"usd": _usd(rates.machine)}),
            **({} if rates.on_demand is None else {"on_demand_usd": _usd(rates.on_demand)}),
        }
        await self._table.put_new(_span_key(span.machine, at), item)

    async def up(self, machine: str, started_at: float, at: float) -> None:
        """Record that a machine's Ollama answered, unless that is recorded."""
        change, condition = "SET up_at = :at, seen_at = :at", "attribute_not_exists(up_at)"
        await self._update(machine, started_at, change, condition, {"at": at})

    async def seen(self, machine: str, started_at: float, at: float) -> None:
        """Record that a machine ran at a time."""
        await self._update(machine, started_at, "SET seen_at = :at", "seen_at < :at", {"at": at})

    async def stopped(
        self, machine: str, started_at: float, at: float, why: str, *, exact: bool, keeps_disk: bool
    ) -> None:
        """Record the end of a start. The first exact time wins over an estimate, that of the first look after it.

        A machine that keeps its disk was stopped, not terminated.
        """
        change = "SET ended_at = :at, ended_why = :why, exact = :exact, keeps_disk = :keeps"
        condition = "(attribute_not_exists(ended_at) OR (exact = :no AND :exact = :yes))"
        values: Values = {"at": at, "why": why, "exact": int(exact), "keeps": int(keeps_disk), "no": 0, "yes": 1}
        await self._update(machine, started_at, change, condition, values)

    async def gone(self, machine: str, started_at: float, at: float) -> None:
        """Record when the disk of a stopped machine was deleted."""
        condition = "keeps_disk = :yes AND attribute_not_exists(gone_at)"
        await self._update(machine, started_at, "SET gone_at = :at", condition, {"at": at, "yes": 1})

    async def _update(self, machine: str, started_at: float, change: str, condition: str, values: Values) -> None:
        """Change the item of a start, if there is one and the condition holds."""
        key = _span_key(machine, started_at)
        await self._table.update(key, change, f"attribute_exists(id) AND {condition}", values)

    async def leased(self, machine: str, lease: Lease, until: float, work: Mapping[str, float]) -> None:
        """Record an ended lease, unless it is recorded, or its beginning is unknown: an early version made it.

        `work` has the page seconds of each document that was read under it.
        """
        if not lease.since:
            return
        item: dict[str, Any] = {
            **_stamp(lease.since),
            **{"machine": string(machine), "token": string(lease.token), "holder": string(lease.holder)},
            **{"started_at": number(lease.since), "ended_at": number(until)},
            "work": {"M": {name: number(seconds) for name, seconds in _named(work).items()}},
        }
        await self._table.put_new(f"{_LEASE}{machine} {lease.token}", item)

    async def spans(self, since: date, until: date) -> tuple[Span, ...]:
        """Return the starts of machines on a range of days (UTC).

        Raises:
            CloudError: AWS refuses, or the pool was deployed before it had a ledger.
        """
        return tuple(map(_span, await self._of(_SPAN, since, until)))

    async def uses(self, since: date, until: date) -> tuple[Use, ...]:
        """Return the ended leases that began on a range of days (UTC); see `spans`."""
        return tuple(map(_use, await self._of(_LEASE, since, until)))

    async def _of(self, kind: str, since: date, until: date) -> Iterable[Item]:
        days = [since + timedelta(days=n) for n in range((until - since).days + 1)]
        try:
            found = await asyncio.gather(*(self._table.query(day.isoformat(), kind) for day in days))
        except CloudError as error:
            if error.code not in _NO_INDEX:
                raise
            message = "The pool's table has no ledger: it was deployed by an earlier version. Run: hearth infra up ec2."
            raise CloudError(message, error.code) from None
        return [item for day in found for item in day]


def day_of(at: float) -> date:
    """Return the day (UTC) of a time in seconds since the epoch."""
    return datetime.fromtimestamp(at, UTC).date()


def _span_key(machine: str, started_at: float) -> str:
    return f"{_SPAN}{machine} {started_at:.0f}"


def _stamp(at: float) -> dict[str, Any]:
    return {"day": string(day_of(at).isoformat()), "forget_at": number(int(time.time()) + _KEPT_SECONDS)}


def _named(work: Mapping[str, float]) -> dict[str, float]:
    """Return the documents that took longest by their names, the rest as one."""
    longest = sorted(work.items(), key=lambda item: item[1], reverse=True)
    rest = longest[_MOST_DOCUMENTS:]
    return dict(longest[:_MOST_DOCUMENTS]) | ({f"{len(rest)} others": sum(s for _, s in rest)} if rest else {})


def _usd(rate: float) -> dict[str, str]:
    return {"N": f"{rate:.6f}"}


def _ms(item: Item, name: str) -> int | None:
    return round(float_of(item, name) * 1000) if name in item else None


def _span(item: Item) -> Span:
    ended, exact = _ms(item, "ended_at"), bool(float_of(item, "exact"))
    return Span(
        machine=item["machine"]["S"],
        kind=item["kind"]["S"],
        started=_ms(item, "started_at") or 0,
        rates=Rates(
            machine=float_of(item, "usd") if "usd" in item else None,
            on_demand=float_of(item, "on_demand_usd") if "on_demand_usd" in item else None,
            address=float_of(item, "address_usd"),
            disk=float_of(item, "disk_usd"),
            launch=float_of(item, "launch_usd"),
        ),
        up=_ms(item, "up_at"),
        seen=_ms(item, "seen_at") or 0,
        ended=ended,
        kept_until=_ms(item, "gone_at"),
        why=item.get("ended_why", {}).get("S", ""),
        exact=ended is None or exact,
        keeps_disk=bool(float_of(item, "keeps_disk")),
    )


def _use(item: Item) -> Use:
    work = item["work"]["M"]
    return Use(
        machine=item["machine"]["S"],
        token=item["token"]["S"],
        holder=item["holder"]["S"],
        started=_ms(item, "started_at") or 0,
        ended=_ms(item, "ended_at"),
        work={name: float_of(work, name) for name in work},
    )
