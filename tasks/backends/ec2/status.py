"""The status of a pool's machines."""

import asyncio
from dataclasses import dataclass

from tasks.backends.ec2.connection import loaded_models
from tasks.backends.ec2.machine import Machine, MachineState
from tasks.backends.ec2.policy import Action, Decision, retention_policy
from tasks.backends.ec2.pool import Pool
from tasks.backends.ec2.usage import usd_per_hour
from tasks.costs.price_book import Book, current_book
from tasks.leasing.lease import Lease, Record


@dataclass(frozen=True)
class MachineStatus:
    """The status of one machine.

    Attributes:
        models: in its memory; None if unknown.
        leases: that have not ended.
        slots: parallel requests that it is set up for.
        decision: whether it is kept or stopped now, and when that is decided again.
        usd: since it was last started, without its disk; None if it does not run or its price is unknown.
        at: the time of this status, seconds since the epoch.
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
        """When and how it stops if no run uses it."""
        decision = self.decision
        if decision.action is Action.KEEP and decision.look_again_at is not None:
            return f"{decision.why}, to be looked at in {max(0.0, decision.look_again_at - self.at) / 60:.0f} min"
        return f"{decision.action} ({decision.why})"


async def status_of(pool: Pool, only: str | None = None) -> list[MachineStatus]:
    """Return the status of a pool's machines, or of the one with an id.

    Raises:
        CloudError: AWS refuses, or cannot be reached.
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
        usd=None if price is None else price * max(0.0, now - machine.launched_at) / 3600,
        at=now,
    )
