"""The view of `hearth top`: current runs, local servers and their slots, and a pool's machines and their slots."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tasks.backends.ec2.pool import Pool
from tasks.backends.ec2.status import MachineStatus, status_of
from tasks.backends.local.server_state import ServerState, local_servers
from tasks.core.errors import HearthError
from tasks.core.jobs import BackendName
from tasks.leasing.slot_store import TableStore
from tasks.leasing.table import Table
from tasks.metrics.live import LiveRun, live_runs
from tasks.slots.ledger import Ledger
from tasks.slots.store import FileStore, LedgerStore


@dataclass(frozen=True)
class Slots:
    """The slots of a server, according to its ledger.

    Attributes:
        served: parallel requests that it serves; 0 if not known yet.
        proven: whether the server stated the number or pages have shown it; otherwise it is only the number requested.
        limit: parallel requests that are sent at the moment, fewer after failures.
        held: slots that runs hold.
        runs: runs that share it.
    """

    served: int = 0
    limit: int = 0
    held: int = 0
    runs: int = 0
    proven: bool = True


@dataclass(frozen=True)
class ServerNow:
    """A server that runs of this machine use.

    Attributes:
        name: the name of a server that Hearth started; empty for others.
        in_flight: pages of this machine's runs.
        stops_at: seconds since the epoch; None while it is in use, or if it is not Hearth's.
    """

    url: str
    name: str
    slots: Slots
    in_flight: int
    stops_at: float | None


@dataclass(frozen=True)
class MachineNow:
    """A machine of the pool."""

    status: MachineStatus
    slots: Slots


@dataclass(frozen=True)
class View:
    """A complete view.

    Attributes:
        at: when it was made, seconds since the epoch.
        trouble: why the pool's machines are unknown; empty if they are known.
    """

    at: float
    runs: tuple[LiveRun, ...]
    servers: tuple[ServerNow, ...]
    machines: tuple[MachineNow, ...] = ()
    trouble: str = ""

    def totals(self) -> dict[str, Any]:
        """Return the totals of all runs; latencies are those of the slowest run."""
        runs = self.runs
        return {
            "runs": len(runs),
            "in_flight": sum(run.in_flight for run in runs),
            "slots": sum(run.slots for run in runs),
            "pages_a_minute": round(sum(run.pages_a_minute for run in runs), 1),
            "tokens_a_second": round(sum(run.tokens_a_second for run in runs), 1),
            **{
                name: max((value for run in runs if (value := getattr(run, name)) is not None), default=None)
                for name in ("p50", "p95", "first_p50", "first_p95")
            },
            "usd": round(sum(run.usd for run in runs), 6),
            "machines_usd": round(sum(machine.status.usd or 0.0 for machine in self.machines), 6),
        }

    def facts(self) -> dict[str, Any]:
        """Return the view as JSON."""
        return {
            "at": self.at,
            "total": self.totals(),
            "runs": [run.model_dump() | {"in_flight": run.in_flight, "slots": run.slots} for run in self.runs],
            "servers": [asdict(server) for server in self.servers],
            "machines": [
                {
                    "id": each.status.machine.id,
                    "state": each.status.machine.state.value,
                    "kind": each.status.machine.kind,
                    "slots": asdict(each.slots),
                    "leases": [lease.holder for lease in each.status.leases],
                    "ends": each.status.ends,
                    "usd": each.status.usd,
                }
                for each in self.machines
            ],
            "trouble": self.trouble,
        }


@dataclass
class Watch:
    """Makes views repeatedly, and asks AWS for a pool's machines less often."""

    home: Path
    find_pool: Callable[[], Awaitable[Pool]] | None = None
    pool_seconds: float = 10.0
    _pool: Pool | None = None
    _machines: tuple[MachineNow, ...] = ()
    _trouble: str = ""
    _next: float = field(default=0.0)

    async def look(self) -> View:
        """Return the current view, without what cannot be read."""
        runs = tuple(live_runs(self.home))
        if self.find_pool is not None and time.monotonic() >= self._next:
            self._next = time.monotonic() + self.pool_seconds
            try:
                self._pool = self._pool or await self.find_pool()
                self._machines, self._trouble = await _machines(self._pool), ""
            except HearthError as error:
                self._trouble = str(error)
        servers = await asyncio.to_thread(lambda: list(local_servers(self.home)))
        return View(time.time(), runs, await _servers(self.home, servers, runs), self._machines, self._trouble)


async def _servers(home: Path, kept: Iterable[ServerState], runs: Iterable[LiveRun]) -> tuple[ServerNow, ...]:
    """Return the local servers for reading and the others that runs use, without machines of a pool."""
    reading = {backend.value for backend in BackendName}
    found: dict[str, ServerState | None] = {
        server.url: server for server in kept if server.name.partition("-")[0] in reading
    }
    in_flight: dict[str, int] = {}
    for run in runs:
        for server in run.servers:
            in_flight[server.url] = in_flight.get(server.url, 0) + server.in_flight
            if run.backend != BackendName.EC2:
                found.setdefault(server.url, None)
    slots = await asyncio.gather(*(_slots(FileStore.of(home, url)) for url in found))
    return tuple(
        ServerNow(
            url=url,
            name=server.name if server else "",
            slots=each,
            in_flight=in_flight.get(url, 0),
            stops_at=server.stops_at if server else None,
        )
        for (url, server), each in zip(found.items(), slots, strict=True)
    )


async def _machines(pool: Pool) -> tuple[MachineNow, ...]:
    table = Table(pool.aws, pool.stack.table)
    found = await status_of(pool)
    slots = await asyncio.gather(*(_slots(TableStore(table, each.machine.id)) for each in found))
    return tuple(
        # Slots that were not measured recently are those of the machine's setup.
        MachineNow(each, slot if slot.served else replace(slot, served=each.slots, limit=each.slots))
        for each, slot in zip(found, slots, strict=True)
    )


async def _slots(store: LedgerStore) -> Slots:
    try:
        ledger = (await store.change(_as_it_is)).live(store.now())
    except HearthError:
        return Slots()
    runs = sum(claim.holds > 0 or claim.wants > 0 for claim in ledger.claims.values())
    return Slots(ledger.capacity, ledger.limit, ledger.held, runs, ledger.proven)


def _as_it_is(ledger: Ledger) -> Ledger:
    return ledger
