"""Record in the usage ledger what became of a machine, from EC2's own facts where nobody recorded it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tasks.aws.client import Aws, ask
from tasks.backends.ec2.machine import Machine, MachineState, Market
from tasks.backends.ec2.pool import Pool
from tasks.backends.ec2.state_reasons import WHY
from tasks.core.errors import CloudError
from tasks.costs.attribution import Rates, Span
from tasks.costs.disks import disk_mb_s, initialization_usd
from tasks.costs.price_book import Book, current_book
from tasks.costs.rates import gp3_usd_per_hour, on_demand_usd_per_hour
from tasks.leasing.lease import Record
from tasks.leasing.usage_ledger import best_effort

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef


@best_effort
async def record_state(pool: Pool, machine: Machine, by: str = "") -> None:
    """Record a machine's state; earlier entries stay.

    Args:
        pool: the machine's.
        machine: as EC2 described it.
        by: holder of the lease for which it was just started; empty if it was not.
    """
    ledger = pool.records.ledger
    if not await ledger.has(machine.id, machine.launched_at):
        rates = await _rates(pool, machine)
        await ledger.started(Span(machine.id, machine.kind, round(machine.launched_at * 1000), rates), by)
    if machine.state is MachineState.RUNNING:
        await ledger.seen(machine.id, machine.launched_at, time.time())
    elif machine.state is not MachineState.PENDING:
        why = WHY.get(machine.reason, machine.reason or "unknown")
        known = machine.changed_at or await _spot_ended_at(pool.aws, machine)
        at, exact = known or time.time(), known is not None
        await ledger.stopped(machine.id, machine.launched_at, at, why, exact=exact, keeps_disk=machine.there)
        if not machine.there:
            await ledger.gone(machine.id, machine.launched_at, at)


@best_effort
async def record_ready(pool: Pool, machine: Machine) -> None:
    """Record that a machine's Ollama answers."""
    await pool.records.ledger.up(machine.id, machine.launched_at, time.time())


@best_effort
async def record_stop(pool: Pool, machine: Machine, why: str, *, keeps_disk: bool) -> None:
    """Record that a machine was stopped just now."""
    ledger, now = pool.records.ledger, time.time()
    await ledger.stopped(machine.id, machine.launched_at, now, why, exact=True, keeps_disk=keeps_disk)
    if not keeps_disk:
        await ledger.gone(machine.id, machine.launched_at, now)


@best_effort
async def record_leases(pool: Pool, record: Record) -> None:
    """Record the leases of runs that died, before their machine's record is closed or deleted."""
    now = time.time()
    for lease in record.leases:
        await pool.records.ledger.leased(record.machine, lease, min(lease.until, now), {})


async def usd_per_hour(aws: Aws, machine: Machine, book: Book) -> float | None:
    """Return a running machine's price: on spot its zone's now, on demand the price book's. None if unknown."""
    if machine.market is Market.ON_DEMAND:
        return on_demand_usd_per_hour(machine.type, machine.region, book)
    try:
        response = await ask(
            aws.ec2.describe_spot_price_history,
            AvailabilityZone=machine.zone,
            InstanceTypes=[machine.type],  # type: ignore[list-item] # EC2 has types that the stubs do not know yet
            ProductDescriptions=["Linux/UNIX"],
            StartTime=datetime.now(UTC),
            MaxResults=1,
        )
    except CloudError:
        return None
    prices = [float(entry["SpotPrice"]) for entry in response["SpotPriceHistory"]]
    return prices[0] if prices else None


async def _spot_ended_at(aws: Aws, machine: Machine) -> float | None:
    """Return when EC2 took a spot machine back, which its request tells, and the machine does not."""
    if machine.spot_request is None:
        return None
    filters: list[FilterTypeDef] = [{"Name": "spot-instance-request-id", "Values": [machine.spot_request]}]
    response = await ask(aws.ec2.describe_spot_instance_requests, Filters=filters)
    for request in response["SpotInstanceRequests"]:
        status = request.get("Status", {})
        if status.get("Code", "").startswith("instance-terminated") and "UpdateTime" in status:
            return status["UpdateTime"].timestamp()
    return None


async def _rates(pool: Pool, machine: Machine) -> Rates:
    stack = pool.settings.ec2_stack
    book = current_book(pool.settings.home)
    return Rates(
        machine=await usd_per_hour(pool.aws, machine, book),
        on_demand=on_demand_usd_per_hour(machine.type, machine.region, book) if machine.market is Market.SPOT else None,
        address=book.usd("ipv4", machine.region) if machine.public_ip else 0.0,
        disk=gp3_usd_per_hour(
            stack.disk_gb, disk_mb_s(stack.disk_throughput, pool.settings.ec2.types), machine.region, book
        ),
        launch=initialization_usd(stack.model_disk, stack.disk_gb, machine.region, book) if machine.new else 0.0,
    )
