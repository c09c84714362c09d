"""Record the use of a pool's machines in its ledger, and sum up its cost.

EC2's own facts stand in for what no process recorded.
"""

import asyncio
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tasks.aws.client import Aws, ask
from tasks.backends.ec2.instances import spot_statuses
from tasks.backends.ec2.machine import WHY, Machine, MachineState, Market
from tasks.backends.ec2.pool import Pool
from tasks.core.errors import CloudError
from tasks.costs.attribution import Piece, Rates, Span, Use, pieces
from tasks.costs.bill import By, make_bill
from tasks.costs.disks import disk_mb_s, initialization_usd
from tasks.costs.price_book import Book, current_book
from tasks.costs.rates import gp3_usd_per_hour, on_demand_usd_per_hour
from tasks.leasing.lease import Record
from tasks.leasing.usage_ledger import best_effort, day_of


@best_effort
async def record_state(pool: Pool, machine: Machine, by: str = "") -> None:
    """Record a machine's state; earlier entries stay. `by` holds the lease for which it was just started, if it was."""
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
    status = (await spot_statuses(aws, [machine.spot_request])).get(machine.spot_request, {})
    ended = status.get("Code", "").startswith("instance-terminated") and "UpdateTime" in status
    return status["UpdateTime"].timestamp() if ended else None


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


async def pool_pieces(pool: Pool, since: datetime, until: datetime) -> list[Piece]:
    """Split the lives of a pool's machines between two times, for a bill.

    What the ledger lacks is recorded first, as far as EC2 still knows of it.

    Raises:
        CloudError: AWS refuses, or the pool was deployed before it had a ledger.
    """
    machines = await pool.machines()
    await asyncio.gather(*(record_state(pool, machine) for machine in machines))
    records = await pool.records_of(machines)
    now = until.timestamp()
    # A machine that was started before may have run, or been kept, since.
    settings = pool.settings
    days = 1 + math.ceil((settings.ec2_stack.lifetime_hours + settings.ec2.terminate_hours) / 24)
    first, last = (since - timedelta(days=days)).date(), day_of(now)
    spans = _closed(await pool.records.ledger.spans(first, last), machines)
    ended = await pool.records.ledger.uses(first, last)
    uses = {use.token: use for use in (*_held(records, now), *ended)}
    return list(pieces(spans, uses.values(), round(now * 1000)))


async def usd_today(pool: Pool) -> float:
    """Return the cost of a pool since midnight (UTC), USD: machines, addresses and disks.

    Raises:
        CloudError: see `pool_pieces`.
    """
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = math.ceil(pool.settings.ec2_stack.lifetime_hours / 24)
    machines, spans = await asyncio.gather(
        pool.machines(), pool.records.ledger.spans((midnight - timedelta(days=days)).date(), now.date())
    )
    lives = pieces(_closed(spans, machines), (), round(now.timestamp() * 1000))
    return make_bill(lives, By.DAY, midnight, now).total.total_usd


async def why_over_budget(pool: Pool) -> str | None:
    """Return why nothing more may start on a pool today, or None if the pool's daily budget allows it.

    Raises:
        CloudError: see `usd_today`.
    """
    most = pool.settings.ec2.max_usd_a_day
    if most is None or (usd := await usd_today(pool)) < most:
        return None
    return f"the pool's {most:g} USD a day are spent ({usd:.2f} since midnight UTC)"


def _closed(spans: Sequence[Span], machines: Sequence[Machine]) -> Iterator[Span]:
    """Return the spans; one without an end whose machine EC2 no longer knows ended when it was last seen."""
    listed = {machine.id for machine in machines}
    last = {span.machine: span.started for span in sorted(spans, key=lambda span: span.started)}
    for span in spans:
        again, known = span.started < last[span.machine], span.machine in listed
        if span.ended is None and (again or not known):
            yield replace(span, ended=max(span.seen, span.up or 0), exact=False, keeps_disk=again)
        elif not known and not again and span.keeps_disk and span.kept_until is None:
            yield replace(span, kept_until=span.ended, exact=False)
        else:
            yield span


def _held(records: Sequence[Record], now: float) -> Iterator[Use]:
    """Return the leases that are not in the ledger: of runs that go on, and of runs that died unnoticed."""
    for record in records:
        for lease in record.leases:
            if lease.since:
                ended = None if lease.until > now else round(lease.until * 1000)
                yield Use(record.machine, lease.token, lease.holder, round(lease.since * 1000), ended)
