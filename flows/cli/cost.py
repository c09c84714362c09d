"""`hearth cost`: what was paid for, and why. Thin over tasks/backends/ec2/billing and tasks/costs."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

import typer

from flows.cli import options
from flows.cli.console import Terminal, plain_table, write
from flows.cli.machines import has_pool, with_pool
from tasks.backends.ec2.billing import pool_bill
from tasks.backends.ec2.pool import open_pool
from tasks.core.durations import format_duration
from tasks.core.errors import InputError
from tasks.costs.bill import Bill, By, Line, combine
from tasks.runs.usage_log import held_bill
from tasks.settings.settings import Settings, load_settings

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def cost(
    by: Annotated[By, typer.Option(metavar="NAME", help=f"What a line is: {', '.join(By)}.")] = By.DAY,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="From when on: 12h, 7d, 4w, or a day (UTC), such as 2026-11-25.")
    ] = "7d",
    pool: options.Pool = None,
    as_json: options.Json = False,
) -> None:
    """Show what was paid for.

    Reading, boot, idling, disks, and what spot saved.

    Of an EC2 pool every second of its machines, from its ledger; of ECS and SageMaker what runs held, as they reckon.
    """
    settings = with_pool(load_settings(), pool)
    found = asyncio.run(_found(settings, by, _since(since), ledger=pool is not None or has_pool(settings)))
    if as_json:
        write(found.model_dump_json() + "\n")
    else:
        _show(found)


async def _found(settings: Settings, by: By, since: datetime, *, ledger: bool) -> Bill:
    held = await asyncio.to_thread(held_bill, settings.output, by, since)
    if ledger:
        return combine(await pool_bill(await open_pool(settings), by, since), held)
    return held


def _since(written: str) -> datetime:
    found = re.fullmatch(r"(\d+)([hdw])", written.strip())
    try:
        if found is not None:
            return datetime.now(UTC) - int(found[1]) * _UNITS[found[2]]
        return datetime.combine(date.fromisoformat(written.strip()), time(), UTC)
    except (ValueError, OverflowError):
        raise InputError(f"--since is {written!r}. Write it like 12h, 7d, 4w or 2026-11-25.") from None


def _show(found: Bill) -> None:
    out = Terminal()
    total = _cells(found.total)
    shown = [place for place, cell in enumerate(total) if cell]  # of what there is
    table = plain_table(found.by.value, *(_HEADS[place] for place in shown))
    for line in found.lines:
        cells = _cells(line)
        table.add_row(line.name, *(cells[place] for place in shown))
    table.add_row(found.total.name, *(total[place] for place in shown), style="bold")
    if found.lines:
        out.print(table)
        out.print()
    for told in (*_told(found.total), *(found.notes if found.lines else (_NOTHING,))):
        out.print(told, highlight=False, soft_wrap=True)


_NOTHING = (
    "No machine was paid for, as far as is known here. Servers of this computer, and those that others run, cost "
    "nothing; machines of an EC2 pool are in its own ledger: --pool names it."
)
_HEADS = ("leased", "boot", "idle", "stopped", "machine USD", "disk USD", "total USD", "spot saved")


def _cells(line: Line) -> tuple[str, ...]:
    times = (line.leased, line.boot, line.idle + line.minimum, line.stopped)
    usd = (line.usd, line.disk_usd, line.total_usd, line.saved_usd)
    return *(format_duration(seconds) if seconds else "" for seconds in times), *(
        f"{each:.4f}" if each else "" for each in usd
    )


def _told(total: Line) -> list[str]:
    told = []
    if idle := total.idle_usd + total.stopped_usd:
        share = f"{idle / total.total_usd:.0%}"
        told.append(
            f"Waiting for work cost USD {idle:.4f} ({share}): machines that idled, disks of those that stopped."
        )
    if total.saved_usd > 0:
        told.append(f"Spot saved USD {total.saved_usd:.4f} against the same machines on demand.")
    return told
