"""`hearth infra automations`: what Prefect does when a run fails, stands still, vanishes or costs too much."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import Terminal
from flows.cli.terminal import TerminalProgress
from tasks.core.errors import ServerError
from tasks.core.events import subscribe
from tasks.settings.settings import load_settings

if TYPE_CHECKING:
    from flows.orchestrator.automations import Change, Wanted

_out = Terminal()
_err = Terminal(stderr=True)


def automations(
    notify: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE/NAME",
            show_default="nobody is told",
            help="Prefect block that tells somebody, such as slack-webhook/on-call.",
        ),
    ] = None,
    stalled_minutes: Annotated[
        float, typer.Option(min=3, metavar="MINUTES", help="Tell of a run without progress for so long.")
    ] = 20,
    vanished_minutes: Annotated[
        float,
        typer.Option(
            min=4, metavar="MINUTES", help="Count a run as crashed that has given no sign of life for so long."
        ),
    ] = 10,
    cancel_stalled: Annotated[
        bool, typer.Option("--cancel-stalled", help="Cancel also a run that stands still.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Delete the automations that Hearth made.")] = False,
) -> None:
    """Have Prefect act on runs that fail, stall, vanish or overspend.

    It can be run again at any time: what is asked for then is what there is. One that a person disabled stays so.
    """
    from flows.orchestrator.automations import Wanted

    wanted = None if remove else Wanted(notify, stalled_minutes, vanished_minutes, cancel_stalled)
    with TerminalProgress(_err) as terminal, subscribe(terminal):
        changes = asyncio.run(_applied(wanted))
    for name, change in changes:
        _out.print(f"{name}: {change}", highlight=False)
    if not changes:
        _out.print("There was none.")
    if wanted is not None and notify is None:
        _out.print("Nobody is told of anything: name a block with --notify.", highlight=False)


async def _applied(wanted: Wanted | None) -> list[tuple[str, Change]]:
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    from flows.local.prefect_server import prefect_api
    from flows.orchestrator.automations import apply, defined

    try:
        async with prefect_api(load_settings()), get_client() as client:
            return await apply(client, await defined(client, wanted) if wanted is not None else [])
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        raise ServerError(f"Prefect did not take the automations: {error}. Run it again when it does.") from None
