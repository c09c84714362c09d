"""The automation without which a run that nobody will ever tell the end of is shown as running for ever."""

from __future__ import annotations

from prefect.client.orchestration import PrefectClient

from flows.orchestrator.automations import Wanted, defined

NAME = "Hearth: a run vanished"


async def have_vanished_crash(client: PrefectClient) -> None:
    """Have Prefect crash runs that vanished. An automation for it that is there stays as a person wants it.

    Raises:
        UnavailableError: the deployments are not made.
    """
    if NAME in {each.name for each in await client.read_automations()}:
        return
    for automation in await defined(client, Wanted()):
        if automation.name == NAME:
            await client.create_automation(automation)
