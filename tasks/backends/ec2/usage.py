"""See what became of a machine, and enter it in the ledger: EC2's own facts for what nobody wrote."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tasks.aws.client import Aws, ask
from tasks.backends.ec2.machine import Machine, MachineState, Market
from tasks.backends.ec2.pool import Pool
from tasks.backends.ec2.spending import usd_per_hour
from tasks.backends.ec2.state_reasons import WHY
from tasks.costs.attribution import Rates
from tasks.costs.disks import disk_mb_s, initialization_usd
from tasks.costs.price_book import current_book
from tasks.costs.rates import gp3_usd_per_hour, on_demand_usd_per_hour
from tasks.leasing.lease import Record
from tasks.leasing.usage_ledger import Started, Stopped, if_possible

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef


async def noticed(pool: Pool, machine: Machine, by: str = "") -> None:
    """Enter what EC2 tells of a machine now; what is known already stays.

    Args:
        pool: whose it is.
        machine: as EC2 described it.
        by: for whom it was started, if it was just started.
    """
    await if_possible(_noticed(pool, machine, by))


async def noticed_up(pool: Pool, machine: Machine) -> None:
    """Enter that a machine's Ollama answers."""
    await if_possible(pool.records.ledger.up(machine.id, machine.launched_at, time.time()))


async def noticed_stop(pool: Pool, machine: Machine, why: str, *, keeps_disk: bool) -> None:
    """Enter that a machine was stopped just now."""
    await if_possible(_stopped_now(pool, machine, why, keeps_disk=keeps_disk))


async def noticed_leases(pool: Pool, record: Record) -> None:
    """Enter the leases of a record that is about to be forgotten, or closed: those of runs that died."""
    await if_possible(_leases(pool, record))


async def _noticed(pool: Pool, machine: Machine, by: str) -> None:
    ledger = pool.records.ledger
    if not await ledger.has(machine.id, machine.launched_at):
        rates = await _rates(pool, machine)
        await ledger.started(Started(machine.id, machine.kind, machine.launched_at, rates, by))
    match machine.state:
        case MachineState.PENDING:
            pass
        case MachineState.RUNNING:
            await ledger.seen(machine.id, machine.launched_at, time.time())
        case MachineState.STOPPING | MachineState.STOPPED:
            await ledger.stopped(machine.id, machine.launched_at, await _how(pool.aws, machine, keeps_disk=True))
        case MachineState.SHUTTING_DOWN | MachineState.TERMINATED:
            how = await _how(pool.aws, machine, keeps_disk=False)
            await ledger.stopped(machine.id, machine.launched_at, how)
            await ledger.gone(machine.id, machine.launched_at, how.at)


async def _stopped_now(pool: Pool, machine: Machine, why: str, *, keeps_disk: bool) -> None:
    ledger, now = pool.records.ledger, time.time()
    await ledger.stopped(machine.id, machine.launched_at, Stopped(now, why, exact=True, keeps_disk=keeps_disk))
    if not keeps_disk:
        await ledger.gone(machine.id, machine.launched_at, now)


async def _leases(pool: Pool, record: Record) -> None:
    now = time.time()
    for lease in record.leases:
        await pool.records.ledger.leased(record.machine, lease, min(lease.until, now), {})


async def _how(aws: Aws, machine: Machine, *, keeps_disk: bool) -> Stopped:
    why = WHY.get(machine.reason, machine.reason or "unknown")
    at = machine.changed_at or await _spot_ended_at(aws, machine)
    return Stopped(at or time.time(), why, exact=at is not None, keeps_disk=keeps_disk)


async def _spot_ended_at(aws: Aws, machine: Machine) -> float | None:
    """When EC2 took a spot machine back: it tells so of the request, not of the machine."""
    if machine.spot_request is None:
        return None
    wanted: list[FilterTypeDef] = [{"Name": "spot-instance-request-id", "Values": [machine.spot_request]}]
    answer = await ask(aws.ec2.describe_spot_instance_requests, Filters=wanted)
    for request in answer["SpotInstanceRequests"]:
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
