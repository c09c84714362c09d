"""`hearth status`: the servers that are warm. Backends are imported only if the settings name one."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from flows.cli import options
from flows.cli.console import out, plain_table, print_json
from tasks.backends.local.server_state import ServerState, local_servers
from tasks.core.options import BackendName
from tasks.settings.settings import Settings, load_settings

if TYPE_CHECKING:
    from tasks.backends.registration import CloudStatus

_A_YEAR_MINUTES = 365 * 24 * 60


def status(pool: options.Pool = None, as_json: options.Json = False) -> None:
    """Show the warm servers: who uses them, when they stop, what they cost."""
    settings = with_pool(load_settings(), pool)
    servers = list(local_servers(settings.home))
    if not as_json:
        for server in servers:  # before a cloud is called, which may fail
            out.say(_line(server))
    found = asyncio.run(_in_clouds(settings)) if settings.names_backend else []
    if as_json:
        facts: dict[str, Any] = {"servers": [_server_facts(server) for server in servers], "machines": []}
        for each in found:
            facts |= each.facts
        print_json(facts)
        return
    for each in found:
        if each.summary:
            out.say(each.summary)
        if each.rows:
            table = plain_table(*each.columns, title=each.title)
            for row in each.rows:
                table.add_row(*row)
            out.print(table)
    if not servers and not any(each.summary or each.rows for each in found):
        out.print("No server is warm.")


async def _in_clouds(settings: Settings) -> list[CloudStatus]:
    from tasks.backends.registry import clouds

    return [await known.status(settings) for known in clouds(settings) if known.status is not None]


def _line(server: ServerState) -> str:
    state = "in use"
    if server.stops_at is not None:
        minutes = max(0.0, server.stops_at - time.time()) / 60
        state = "up until `hearth down`" if minutes > _A_YEAR_MINUTES else f"idle, stops in {minutes:.1f} min"
    about = f"  {server.about}" if server.about else ""
    return f"{server.name}  {server.url}{about}  {state}"


def with_pool(settings: Settings, pool: str | None) -> Settings:
    """Return the settings with the pool that --pool names."""
    if pool is None:
        return settings
    named = settings.ec2.model_copy(update={"pool": pool})
    return settings.model_copy(update={"ec2": named, "backend": BackendName.EC2})


def _server_facts(server: ServerState) -> dict[str, Any]:
    facts = {"name": server.name, "url": server.url, "stops_at": server.stops_at}
    return {**facts, "about": server.about} if server.about else facts
