"""What `hearth status` tells of a pool's machines."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tasks.backends.ec2.connection import loaded_models
from tasks.backends.ec2.machine import Machine, MachineState
from tasks.backends.ec2.policy import Action, Decision, retention_policy
from tasks.backends.ec2.pool import Pool
from tasks.backends.ec2.spending import usd_per_hour, usd_so_far
from tasks.costs.price_book import Book, current_book
from tasks.leasing.lease import Lease, Record


@dataclass(frozen=True)
class MachineStatus:
    """One machine, now.

    Attributes:
        models: what it has in memory; None if that could not be asked.
        leases: those that have not ended.
        slots: requests at once that it was set up for.
        decision: what a stopper would do, and when it looks again.
        usd: since it was last started, its disk not counted; None if it does not run or its price is not known.
        at: when it was asked, seconds since the epoch.
    """

    machine: Machine
    models: tuple[str, ...] | None
    leases: tuple[Lease, ...]
    slots: int
    decision: Decision
    usd: float | None
    at: float

    @property
    def slots_leased(self) -> int:
        """Slots that runs may be using."""
        return min(self.slots, sum(lease.slots for lease in self.leases))

    @property
    def ends(self) -> str:
        """What becomes of it when nobody comes."""
        match self.decision:
            case Decision(action=Action.KEEP, look_again_at=at) if at is not None:
                return f"{self.decision.why}, to be looked at in {max(0.0, at - self.at) / 60:.0f} min"
            case _:
                return f"{self.decision.action} ({self.decision.why})"


async def status_of(pool: Pool, only: str | None = None) -> list[MachineStatus]:
    """Every machine of a pool that is there, or the one of an id.

    Raises:
        CloudError: AWS refuses, or is out of reach.
    """
    machines = tuple(each for each in await pool.machines() if each.there and only in {None, each.id})
    records = await pool.records_of(machines)
    book = current_book(pool.settings.home)
    return list(await asyncio.gather(*(_status(pool, book, *each) for each in zip(machines, records, strict=True))))


async def _status(pool: Pool, book: Book, machine: Machine, record: Record) -> MachineStatus:
    now = pool.records.now()
    runs = machine.state is MachineState.RUNNING
    price = await usd_per_hour(pool.aws, machine, book) if runs else None
    loaded = await loaded_models(pool, machine) if runs else None
    return MachineStatus(
        machine=machine,
        models=None if loaded is None else tuple(model.name for model in loaded),
        leases=record.live(now),
        slots=pool.stack.slots,
        decision=retention_policy(machine, record, 0.0, now, pool.limits),
        usd=usd_so_far(machine, price, now),
        at=now,
    )
