"""`hearth clean`: delete what is older than the retention settings allow."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal
from rich.table import Table

from flows.cli import options
from flows.cli.console import out, print_json
from tasks.core.errors import ServerError
from tasks.settings.settings import Settings, load_settings
from tasks.storage.files import StoragePath, parse_path

if TYPE_CHECKING:
    from tasks.retention.expired import Tally


def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be deleted, and delete nothing.")] = False,
    output: options.Output = None,
    as_json: options.Json = False,
) -> None:
    """Delete what is older than the settings HEARTH_RETENTION__* allow.

    Results are kept for ever unless HEARTH_RETENTION__RESULTS_DAYS is set, and
    nothing that a run uses is deleted. The same happens at the end of each
    batch, and daily in the worker of hearth up.
    """
    settings = load_settings()
    place = parse_path(output).absolute() if output else settings.output
    tallies = asyncio.run(_cleaned(settings, place, dry_run=dry_run))
    if as_json:
        rows = [{"what": str(tally.kind), "count": tally.count, "bytes": tally.bytes} for tally in tallies]
        print_json({"dry_run": dry_run, "expired": rows})
    elif not tallies:
        out.print("Nothing has expired.")
    else:
        table = Table("what", title="Would be deleted" if dry_run else "Deleted", title_justify="left")
        table.add_column("how many", justify="right")
        table.add_column("size", justify="right")
        for tally in tallies:
            table.add_row(str(tally.kind), f"{tally.count}", "" if tally.bytes is None else decimal(tally.bytes))
        out.print(table)


async def _cleaned(settings: Settings, output: StoragePath, *, dry_run: bool) -> list[Tally]:
    import httpx

    from flows.api.retention import expired_runs
    from flows.api.settings import load_api_settings
    from flows.local.clean import clean as clean_all
    from tasks.retention.expired import sweep

    try:
        tallies = await clean_all(settings, output, dry_run=dry_run)
    except httpx.HTTPError as error:
        raise ServerError(f"Prefect's server does not answer ({type(error).__name__}). Run this again later.") from None
    runs = expired_runs(load_api_settings().directory, settings.retention, time.time())
    return [*tallies, *await asyncio.to_thread(lambda: sweep(runs, dry_run=dry_run))]
