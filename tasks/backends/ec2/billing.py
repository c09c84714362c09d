"""The use of a pool's machines, and its cost: from the ledger, and from what still runs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tasks.backends.ec2.machine import Machine
from tasks.backends.ec2.pool import Pool
from tasks.backends.ec2.usage import record_state
from tasks.costs.attribution import Piece, Span, Use, pieces
from tasks.costs.bill import By, make_bill
from tasks.leasing.lease import Record
from tasks.leasing.usage_ledger import day_of


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
