"""`hearth logs`: what a run has logged, by Prefect."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import Terminal
from flows.cli.terminal import TerminalProgress
from tasks.core.errors import ServerError
from tasks.core.events import subscribe
from tasks.settings.settings import load_settings

if TYPE_CHECKING:
    from prefect.client.schemas.objects import Log

_out = Terminal()
_err = Terminal(stderr=True)


def logs(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Id or name of a run, or last: the last that read.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
) -> None:
    """Print a run's log, as Prefect has it."""
    try:
        asyncio.run(_print(run, follow=follow))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


async def _print(name: str, *, follow: bool) -> None:
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    from flows.local.prefect_server import prefect_api
    from flows.orchestrator.run_logs import find_run, read_log

    try:
        async with AsyncExitStack() as held:
            with TerminalProgress(_err) as progress, subscribe(progress):
                await held.enter_async_context(prefect_api(load_settings()))
            client = await held.enter_async_context(get_client())
            run = await find_run(client, name)
            _err.say(f"{run.name}: {run.state.name if run.state else 'not begun'}. {run.id}", "bold")
            async for line in read_log(client, run.id, follow=follow):
                _say(line)
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        raise ServerError(f"Prefect did not give the log: {error}. Run it again when it does.") from None


def _say(line: Log) -> None:
    at = line.timestamp.astimezone().strftime("%H:%M:%S")
    level = logging.getLevelName(line.level)
    first, *more = line.message.splitlines() or [""]
    _out.say(f"{at} {level:<8} {first}")
    for each in more:
        _out.say(f"{'':17} {each}")
    if not _out.is_terminal:
        _out.file.flush()  # whoever follows reads it now
