"""`hearth logs`: print a run's log from Prefect."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import err, out
from flows.cli.terminal import show_progress
from tasks.settings.settings import load_settings

if TYPE_CHECKING:
    from prefect.client.schemas.objects import Log


def logs(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or name of a run, or last for the latest reading run.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until the run has ended.")] = False,
) -> None:
    """Print a run's log."""
    try:
        asyncio.run(_print(run, follow=follow))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


async def _print(name: str, *, follow: bool) -> None:
    from flows.local.prefect_server import prefect_client
    from flows.orchestrator.run_logs import find_run, read_log

    async with AsyncExitStack() as stack:
        with show_progress():
            opened = prefect_client(load_settings(), "Prefect did not return the log")
            client = await stack.enter_async_context(opened)
        run = await find_run(client, name)
        err.say(f"{run.name}: {run.state.name if run.state else 'not started'}. {run.id}", "bold")
        async for line in read_log(client, run.id, follow=follow):
            _print_line(line)


def _print_line(line: Log) -> None:
    at = line.timestamp.astimezone().strftime("%H:%M:%S")
    level = logging.getLevelName(line.level)
    first, *more = line.message.splitlines() or [""]
    out.say(f"{at} {level:<8} {first}")
    for text in more:
        out.say(f"{'':17} {text}")
    if not out.is_terminal:
        out.file.flush()  # for a reader that follows
