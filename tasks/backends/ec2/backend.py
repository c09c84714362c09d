"""A machine on EC2: reused, started or launched, leased while it is used, and stopped when idle."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial

from tasks.backends.base import Allocation, Endpoint, MachineFacts, Release
from tasks.backends.ec2.acquire import Acquisition
from tasks.backends.ec2.billing import over_today, usd_today
from tasks.backends.ec2.instance_lease import InstanceLease
from tasks.backends.ec2.machine import Machine, Market
from tasks.backends.ec2.pool import Pool, log_tail, open_pool
from tasks.backends.ec2.spending import usd_per_hour
from tasks.backends.ec2.status import status_of
from tasks.backends.server_status import ServerStatus, leased
from tasks.core.errors import BudgetSpentError, CloudError
from tasks.core.events import Progress, RunWarning, emit
from tasks.core.jobs import BackendName
from tasks.core.scaling import Scale
from tasks.costs.price_book import Book, current_book
from tasks.costs.rates import fallback_note, spot_usd_per_hour
from tasks.leasing.slot_store import TableStore
from tasks.leasing.table import Table
from tasks.settings.settings import Settings


def offer(settings: Settings) -> str | None:
    """Why `auto` takes this backend: it never does, since it costs money."""
    del settings
    return None


class Ec2Backend:
    """See the module. One pool is opened at the first use and kept."""

    name = BackendName.EC2

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: Pool | None = None
        self._held: set[str] = set()
        self.default_model = settings.ec2_stack.model
        self.default_slots = settings.ec2_stack.slots
        self.servers = settings.ec2.machines

    def describe(self) -> str:
        """See `Backend`."""
        return f"a machine of the EC2 pool {self._settings.ec2.pool!r}"

    async def digest(self, model: str) -> str | None:
        """See `Backend`: only a machine knows, and none is started for it."""
        del model
        return None

    def scale(self, slots: int) -> Scale:
        """See `Backend`: a machine is paid for from its boot to the end of its idle time, however little it reads."""
        return Scale(self.servers, min(slots, self.default_slots), self._settings.ec2.pages_a_slot)

    async def acquire(self, slots: int, holder: str, parts: int = 1) -> Allocation:
        """See `Backend`.

        Raises:
            BudgetSpentError: the pool has cost all that it may today.
            CapacityError: EC2 has no machine.
            CloudError: AWS refuses, or the pool is not deployed.
        """
        del parts
        emit(Progress("asking AWS for the pool"))
        if self._pool is None:
            self._pool = await open_pool(self._settings)
        pool = self._pool
        if (why := await _over_budget(pool)) is not None:
            raise BudgetSpentError(
                f"No machine is taken: {why}. Run again tomorrow, or raise HEARTH_EC2__MAX_USD_A_DAY."
            )
        slots = min(slots, pool.stack.slots)
        instance = await Acquisition(pool, holder, slots, self._held).run()
        try:
            return await self._allocation(pool, instance)
        except BaseException:
            self._held.discard(instance.id)
            with suppress(CloudError):
                await instance.hand_back(broken=False)
            raise

    async def _allocation(self, pool: Pool, instance: InstanceLease) -> Allocation:
        machine, connection = instance.machine, instance.connection
        assert machine is not None  # noqa: S101 - the acquisition has seen it run
        assert connection is not None  # noqa: S101 - and asked Ollama through this
        book = current_book(self._settings.home)
        price = await usd_per_hour(pool.aws, machine, book)
        if machine.market is Market.ON_DEMAND and (told := fallback_note([machine.type], machine.region, book)):
            emit(RunWarning(told))
        return Allocation(
            backend=self.name,
            endpoint=Endpoint(connection.url, headers=connection.headers, certificate=connection.certificate),
            slots=pool.stack.slots,
            ledger=TableStore(Table(pool.aws, pool.stack.table), machine.id),
            started=instance.started,
            owned=True,
            lease=instance,
            machine=MachineFacts(
                id=machine.id,
                kind=machine.kind,
                usd_per_hour=price,
                since=instance.since,
                boot_seconds=time.time() - instance.since if instance.started else 0.0,
                spot_usd_per_hour=_spot_price(machine, book),
            ),
            interruption=instance.interruption,
            log_tail=partial(log_tail, pool, machine.id),
            status=partial(_status, pool, machine.id),
            over_budget=partial(_over_budget, pool) if self._settings.ec2.max_usd_a_day is not None else None,
        )

    async def release(self, allocation: Allocation, *, broken: bool = False) -> Release:
        """See `Backend`."""
        instance = allocation.lease
        if not isinstance(instance, InstanceLease):
            return Release("was not leased")
        self._held.discard(instance.id)
        try:
            await instance.hand_back(broken=broken, work=allocation.work)
        except CloudError as error:
            wait = self._settings.ec2.lease_seconds
            left = f"Its lease ends by itself in {wait:g} s."
            emit(RunWarning(f"{instance.id} could not be given back: {error} {left}"))
            return Release(f"{instance.id} is left to its lease's end", self._look_at(wait))
        if allocation.interruption.gone:
            return Release(f"is gone: {allocation.interruption.why}", self._look_at())
        if broken:
            return Release("did not work: it is ended, unless others use it", self._look_at())
        return Release(_told(instance, self._settings.idle_minutes), self._look_at())

    def _look_at(self, later: float = 0.0) -> float:
        return time.time() + self._settings.idle_minutes * 60 + later


def _spot_price(machine: Machine, book: Book) -> float | None:
    """What a machine on demand would cost on spot, by the price book."""
    return None if machine.market is Market.SPOT else spot_usd_per_hour(machine.type, machine.region, book)


async def _status(pool: Pool, machine: str) -> ServerStatus:
    found = await status_of(pool, machine)
    return leased(found[0].leases, found[0].ends) if found else ServerStatus("none", "it is gone")


async def _over_budget(pool: Pool) -> str | None:
    """Why nobody may begin anything on a pool any more today; None if they may."""
    most = pool.settings.ec2.max_usd_a_day
    return None if most is None else over_today(most, await usd_today(pool))


def _told(instance: InstanceLease, idle_minutes: float) -> str:
    spot = instance.machine is not None and instance.machine.market is Market.SPOT
    return f"{instance.id} stays warm for {idle_minutes:g} min, then is {'terminated' if spot else 'stopped'}"
