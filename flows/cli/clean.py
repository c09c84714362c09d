"""`hearth clean`: delete what is older than it is kept."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from flows.cli import options
from flows.cli.console import Terminal, write
from tasks.core.errors import ServerError
from tasks.settings.settings import Settings, load_settings
from tasks.storage.files import StoragePath, parse_path

if TYPE_CHECKING:
    from tasks.retention.expired import Tally

_out = Terminal()
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and delete nothing.")] = False,
    output: options.Output = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Delete what is older than the settings HEARTH_RETENTION__* keep it.

    Results stay for ever unless HEARTH_RETENTION__RESULTS_DAYS is set, and what
    a run uses is left alone. The end of a batch and the worker of hearth up do
    the same by themselves.
    """
    settings = load_settings()
    place = parse_path(output).absolute() if output else settings.output
    tallies = asyncio.run(_cleaned(settings, place, dry_run=dry_run))
    if as_json:
        rows = [{"what": str(each.kind), "count": each.count, "bytes": each.bytes} for each in tallies]
        write(json.dumps({"dry_run": dry_run, "expired": rows}) + "\n")
        return
    if tallies:
        _out.print(_table(tallies, dry_run=dry_run))
    else:
        _out.print("Nothing is older than it is kept.")


async def _cleaned(settings: Settings, output: StoragePath, *, dry_run: bool) -> list[Tally]:
    import httpx

    from flows.api.retention import expired_runs
    from flows.api.settings import load_api_settings
    from flows.local.clean import clean as clean_all
    from tasks.retention.expired import sweep

    try:
        tallies = await clean_all(settings, output, dry_run=dry_run)
    except httpx.HTTPError as error:
        raise ServerError(f"Prefect's server does not answer ({type(error).__name__}). Run it again later.") from None
    runs = expired_runs(load_api_settings().directory, settings.retention, time.time())
    return [*tallies, *await asyncio.to_thread(lambda: sweep(runs, dry_run=dry_run))]


def _table(tallies: list[Tally], *, dry_run: bool) -> Table:
    table = Table("what", title="Would be deleted" if dry_run else "Deleted", title_justify="left")
    table.add_column("how many", justify="right")
    table.add_column("size", justify="right")
    for each in tallies:
        table.add_row(str(each.kind), f"{each.count}", "" if each.bytes is None else _size(each.bytes))
    return table


def _size(count: float) -> str:
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.0f} bytes" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"
