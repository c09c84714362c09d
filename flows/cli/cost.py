"""`hearth cost`: show what was paid for, and why."""

import asyncio
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

import typer

from flows.cli import options
from flows.cli.console import Terminal, plain_table, write
from flows.cli.status import with_pool
from tasks.backends.registry import clouds
from tasks.core.durations import format_duration
from tasks.core.errors import InputError
from tasks.costs.bill import Bill, By, Line, make_bill
from tasks.runs.usage_log import read_usage
from tasks.settings.settings import Settings, load_settings

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_COLUMNS = ("leased", "boot", "idle", "stopped", "machine USD", "disk USD", "total USD", "spot saved")
_NOTHING = (
    "No machine was paid for, as far as is known here. Servers on this computer, and servers that others run, cost "
    "nothing; --pool names an EC2 pool, whose machines are in its own ledger."
)


def cost(
    by: Annotated[By, typer.Option(metavar="NAME", help=f"What each line shows: {', '.join(By)}.")] = By.DAY,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="Start of the bill: 12h, 7d or 4w ago, or a day (UTC): 2026-11-25.")
    ] = "7d",
    pool: options.Pool = None,
    as_json: options.Json = False,
) -> None:
    """Show what was paid for: reading, boot, idle time and disks.

    For an EC2 pool, every second of its machines comes from the pool's ledger.
    For ECS and SageMaker, each run records what it used. The bill also shows
    what spot machines saved.
    """
    settings = with_pool(load_settings(), pool)
    bill = asyncio.run(_bill(settings, by, _since(since)))
    if as_json:
        write(bill.model_dump_json() + "\n")
    else:
        _show(bill)


async def _bill(settings: Settings, by: By, since: datetime) -> Bill:
    until = datetime.now(UTC)
    usage = await asyncio.to_thread(read_usage, settings.output, since)
    ledgers = [known.pieces for known in clouds(settings) if known.pieces is not None]
    recorded = [piece for pieces in ledgers for piece in await pieces(settings, since, until)]
    return make_bill([*recorded, *usage.pieces], by, since, until, usage.notes)


def _since(text: str) -> datetime:
    match = re.fullmatch(r"(\d+)([hdw])", text.strip())
    try:
        if match is not None:
            return datetime.now(UTC) - int(match[1]) * _UNITS[match[2]]
        return datetime.combine(date.fromisoformat(text.strip()), time(), UTC)
    except (ValueError, OverflowError):
        raise InputError(f"--since is {text!r}. Write it like 12h, 7d, 4w or 2026-11-25.") from None


def _show(bill: Bill) -> None:
    out = Terminal()
    total = _cells(bill.total)
    shown = [column for column, cell in enumerate(total) if cell]
    if bill.lines:
        table = plain_table(bill.by.value, *(_COLUMNS[column] for column in shown))
        for line in bill.lines:
            cells = _cells(line)
            table.add_row(line.name, *(cells[column] for column in shown))
        table.add_row(bill.total.name, *(total[column] for column in shown), style="bold")
        out.print(table)
        out.print()
    if idle := bill.total.idle_usd + bill.total.stopped_usd:
        share = f"{idle / bill.total.total_usd:.0%}"
        out.say(f"Waiting for work cost USD {idle:.4f} ({share}): idle machines, and disks of stopped ones.")
    if bill.total.saved_usd > 0:
        out.say(f"Spot saved USD {bill.total.saved_usd:.4f} compared with the same machines on demand.")
    for note in bill.notes if bill.lines else (_NOTHING,):
        out.say(note)


def _cells(line: Line) -> tuple[str, ...]:
    """Return the cells of a line; an empty one means 0."""
    times = (line.leased, line.boot, line.idle + line.minimum, line.stopped)
    usd = (line.usd, line.disk_usd, line.total_usd, line.saved_usd)
    return (
        *(format_duration(seconds) if seconds else "" for seconds in times),
        *(f"{amount:.4f}" if amount else "" for amount in usd),
    )
