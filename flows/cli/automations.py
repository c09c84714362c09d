"""`hearth infra automations`: let Prefect react to runs that fail, stall, vanish or cost too much."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import out
from flows.cli.terminal import show_progress
from tasks.settings.settings import load_settings

if TYPE_CHECKING:
    from flows.orchestrator.automations import AutomationOptions, Change


def automations(
    notify: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE/NAME",
            show_default="no notification",
            help="Prefect notification block, for example slack-webhook/on-call.",
        ),
    ] = None,
    stalled_minutes: Annotated[
        float, typer.Option(min=3, metavar="MINUTES", help="Notify about a run without progress for this long.")
    ] = 20,
    vanished_minutes: Annotated[
        float,
        typer.Option(min=4, metavar="MINUTES", help="Mark a run as crashed after this long without a sign of life."),
    ] = 10,
    cancel_stalled: Annotated[
        bool, typer.Option("--cancel-stalled", help="Also cancel a run without progress.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Delete the automations that Hearth made.")] = False,
) -> None:
    """Make Prefect react to runs that fail, stall, vanish or overspend.

    Run it again to change the automations. One that you disabled stays disabled.
    """
    from flows.orchestrator.automations import AutomationOptions

    options = None if remove else AutomationOptions(notify, stalled_minutes, vanished_minutes, cancel_stalled)
    with show_progress():
        changes = asyncio.run(_apply(options))
    for name, change in changes:
        out.print(f"{name}: {change}")
    if not changes:
        out.print("There was none.")
    if options is not None and notify is None:
        out.print("Nobody is notified. Name a notification block with --notify.")


async def _apply(options: AutomationOptions | None) -> list[tuple[str, Change]]:
    from flows.local.prefect_server import prefect_client
    from flows.orchestrator.automations import apply_automations, define_automations

    async with prefect_client(load_settings(), "Prefect did not accept the automations") as client:
        return await apply_automations(client, await define_automations(client, options) if options is not None else [])
