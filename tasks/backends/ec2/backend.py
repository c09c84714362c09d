"""Machines on EC2: reused, started or launched, leased while they are used, and stopped when idle."""

import time
from contextlib import suppress
from datetime import datetime

from tasks.backends.base import Allocation, Backend, MachineFacts, Release
from tasks.backends.ec2.acquire import Acquisition
from tasks.backends.ec2.check import check
from tasks.backends.ec2.lease import InstanceLease
from tasks.backends.ec2.machine import Market
from tasks.backends.ec2.pool import Pool, open_pool
from tasks.backends.ec2.status import pool_status, stop_machines
from tasks.backends.ec2.usage import pool_pieces, usd_per_hour, why_over_budget
from tasks.backends.registration import Registration
from tasks.core.errors import BudgetSpentError, CloudError
from tasks.core.events import Progress, RunWarning, emit
from tasks.core.jobs import BackendName
from tasks.core.scaling import Scale
from tasks.costs.attribution import Piece
from tasks.costs.price_book import current_book
from tasks.costs.rates import fallback_note, spot_usd_per_hour
from tasks.leasing.slot_store import TableStore
from tasks.leasing.table import Table
from tasks.settings.settings import Settings


class Ec2Backend(Backend):
    """Machines of a pool, which is looked up at the first use and kept."""

    name = BackendName.EC2

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._pool: Pool | None = None
        self._held: set[str] = set()
        self.default_model = settings.ec2_stack.model
        self.default_slots = settings.ec2_stack.slots
        self.servers = settings.ec2.machines
        self.pool_name = settings.ec2.pool

    def describe(self) -> str:
        """See `Backend`."""
        return f"a machine of the EC2 pool {self.settings.ec2.pool!r}"

    def scale(self, slots: int) -> Scale:
        """See `Backend`. A machine is paid for from its boot to the end of its idle time, however little it reads."""
        return Scale(self.servers, min(slots, self.default_slots), self.settings.ec2.pages_a_slot)

    async def acquire(self, slots: int, holder: str, replicas: int = 1) -> Allocation:
        """See `Backend`.

        Raises:
            BudgetSpentError: the pool's daily budget is spent.
            CapacityError: EC2 has no machine.
            CloudError: AWS refuses, or the pool is not deployed.
        """
        del replicas
        emit(Progress("asking AWS for the pool"))
        if self._pool is None:
            self._pool = await open_pool(self.settings)
        pool = self._pool
        if (why := await why_over_budget(pool)) is not None:
            raise BudgetSpentError(
                f"No machine is taken: {why}. Run again tomorrow, or raise HEARTH_EC2__MAX_USD_A_DAY."
            )
        instance = await Acquisition(pool, holder, min(slots, pool.stack.slots), self._held).run()
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
        assert connection is not None  # noqa: S101 - and called Ollama through it
        book, spot = current_book(self.settings.home), machine.market is Market.SPOT
        price = await usd_per_hour(pool.aws, machine, book)
        if not spot and (note := fallback_note([machine.type], machine.region, book)):
            emit(RunWarning(note))
        return Allocation(
            backend=self.name,
            endpoint=connection.endpoint,
            slots=pool.stack.slots,
            ledger=TableStore(Table(pool.aws, pool.stack.table), machine.id, machine.id),
            started=instance.started,
            lease=instance,
            machine=MachineFacts(
                id=machine.id,
                kind=machine.kind,
                usd_per_hour=price,
                since=instance.since,
                boot_seconds=time.time() - instance.since if instance.started else 0.0,
                spot_usd_per_hour=None if spot else spot_usd_per_hour(machine.type, machine.region, book),
            ),
        )

    async def release(self, allocation: Allocation, *, broken: bool = False) -> Release:
        """See `Backend`."""
        instance = allocation.lease
        if not isinstance(instance, InstanceLease):
            return Release("was not leased")
        self._held.discard(instance.id)
        try:
            await instance.hand_back(broken=broken)
        except CloudError as error:
            wait = self.settings.ec2.lease_seconds
            emit(RunWarning(f"{instance.id} could not be given back: {error} Its lease ends by itself in {wait:g} s."))
            return Release(f"{instance.id} is left to its lease's end", self._look_at(wait))
        if allocation.interruption.gone:
            return Release(f"is gone: {allocation.interruption.why}", self._look_at())
        if broken:
            return Release("did not work: it is ended, unless others use it", self._look_at())
        spot = instance.machine is not None and instance.machine.market is Market.SPOT
        stay = f"{instance.id} stays warm for {self.settings.idle_minutes:g} min"
        return Release(f"{stay}, then is {'terminated' if spot else 'stopped'}", self._look_at())

    def _look_at(self, later: float = 0.0) -> float:
        return time.time() + self.settings.idle_minutes * 60 + later


def _is_configured(settings: Settings) -> bool:
    return "ec2" in settings.model_fields_set


async def _pieces(settings: Settings, since: datetime, until: datetime) -> list[Piece]:
    return await pool_pieces(await open_pool(settings), since, until)


REGISTRATION = Registration(
    name=Ec2Backend.name,
    open=Ec2Backend,
    check=check,
    is_configured=_is_configured,
    status=pool_status,
    stop=stop_machines,
    pieces=_pieces,
)
