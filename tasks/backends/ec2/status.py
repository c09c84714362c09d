"""The status of a pool's machines, and stopping them by hand."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tasks.backends.ec2.connection import loaded_models
from tasks.backends.ec2.machine import Machine, MachineState
from tasks.backends.ec2.policy import Action, Decision, Why, retention_policy
from tasks.backends.ec2.pool import Pool, open_pool
from tasks.backends.ec2.reaper import end
from tasks.backends.ec2.usage import usd_per_hour
from tasks.backends.registration import CloudStatus, Confirm, Say
from tasks.core.errors import CloudError
from tasks.costs.price_book import Book, current_book
from tasks.leasing.lease import Lease, Record
from tasks.settings.settings import Settings


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

    @property
    def users(self) -> str:
        """The runs that lease it."""
        return ", ".join(lease.holder for lease in self.leases)

    @property
    def facts(self) -> dict[str, Any]:
        """The status for `--json`."""
        machine = self.machine
        runs = machine.state in {MachineState.PENDING, MachineState.RUNNING}
        return {
            **{"id": machine.id, "state": machine.state.value, "type": machine.type, "market": machine.market.value},
            **{"zone": machine.zone, "stage": machine.stage, "models": self.models},
            "up_seconds": round(self.at - machine.launched_at, 1) if runs else None,
            "notice": machine.notice.why if machine.notice else None,
            "slots": self.slots,
            "slots_leased": self.slots_leased,
            "leases": [lease.facts for lease in self.leases],
            "ends": self.ends,
            "look_again_at": self.decision.look_again_at,
            "usd": self.usd,
        }

    @property
    def cells(self) -> tuple[str, ...]:
        """The status as a row of a table; see `COLUMNS`."""
        machine, up = self.machine, self.facts["up_seconds"]
        return (
            machine.id,
            f"{machine.state}: {machine.notice.why}" if machine.notice else machine.state.value,
            f"{machine.type} {machine.market}\n{machine.zone}",
            "" if up is None else f"{up / 60:.0f} min",
            "?" if self.models is None else ", ".join(self.models) or "none",
            f"{self.slots_leased} of {self.slots}",
            "\n".join(f"{lease.holder} ({lease.slots} slots)" for lease in self.leases) or "none",
            self.ends,
            "" if self.usd is None else f"{self.usd:.3f}",
        )


COLUMNS = ("machine", "state", "kind", "up", "model", "slots", "leases", "next", "USD")


async def pool_status(settings: Settings) -> CloudStatus:
    """Return the status of the pool that the settings name.

    Raises:
        CloudError: AWS refuses, or cannot be reached.
    """
    found = await status_of(await open_pool(settings))
    title, rows = f"Machines of the pool {settings.ec2.pool}", tuple(status.cells for status in found)
    return CloudStatus({"machines": [status.facts for status in found]}, title=title, columns=COLUMNS, rows=rows)


async def stop_machines(settings: Settings, names: Collection[str], say: Say, confirm: Confirm) -> set[str]:
    """Stop the named machines of the pool, or all if none is named, and return the names that exist.

    Raises:
        CloudError: AWS refused to stop a machine; the others were stopped.
    """
    pool = await open_pool(settings)
    found = [status for status in await status_of(pool) if not names or status.machine.id in names]
    refused: CloudError | None = None
    for status in found:
        machine = status.machine
        question = f"{machine.id} is in use by {status.users}; its pages would be read elsewhere. Stop it?"
        if status.leases and not confirm(question):
            say(f"{machine.id} is in use by {status.users}, and is left running. --force stops it anyway.")
            continue
        try:
            decision = await end(pool, machine, Why.ASKED, force=bool(status.leases))
        except CloudError as error:
            say(f"{machine.id} is not stopped: {error}")
            refused = refused or error
        else:
            say(f"{machine.id}: {decision.action} ({decision.why})")
    if refused is not None:
        raise refused
    return {status.machine.id for status in found}


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
