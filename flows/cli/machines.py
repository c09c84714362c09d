"""`hearth status`, `hearth stop` and `hearth start`: the servers that are warm, on this machine and on AWS."""

import asyncio
import os
import sys
import time
from typing import Annotated, Any

import typer

from flows.cli import options
from flows.cli.console import out, plain_table, print_json
from flows.cli.terminal import show_progress
from tasks.backends.local.server_state import ServerState, local_servers, stop_server
from tasks.backends.registration import CloudStatus
from tasks.backends.registry import clouds
from tasks.core.budget import Budget
from tasks.core.errors import InputError
from tasks.core.events import Event, subscribe
from tasks.core.jobs import BackendName
from tasks.core.options import Options
from tasks.reading.events import ServerReleased
from tasks.runs.setup import choose_setup
from tasks.settings.settings import Settings, load_settings

_A_YEAR_MINUTES = 365 * 24 * 60


def status(pool: options.Pool = None, as_json: options.Json = False) -> None:
    """Show the warm servers: who uses them, when they stop, what they cost."""
    settings = with_pool(load_settings(), pool)
    servers = list(local_servers(settings.home))
    if not as_json:
        for server in servers:  # before a cloud is called, which may fail
            out.say(_line(server))
    found = asyncio.run(_in_clouds(settings))
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
    return [await known.status(settings) for known in clouds(settings) if known.status is not None]


def _line(server: ServerState) -> str:
    state = "in use"
    if server.stops_at is not None:
        minutes = max(0.0, server.stops_at - time.time()) / 60
        state = "up until `hearth down`" if minutes > _A_YEAR_MINUTES else f"idle, stops in {minutes:.1f} min"
    about = f"  {server.about}" if server.about else ""
    return f"{server.name}  {server.url}{about}  {state}"


def stop(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME", show_default="servers on this machine", help="Names of servers, as in hearth status."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Stop all servers, also machines on AWS.")] = False,
    pool: options.Pool = None,
    force: Annotated[bool, typer.Option("--force", help="Also stop servers that a run is using.")] = False,
) -> None:
    """Stop warm servers."""
    settings = with_pool(load_settings(), pool)
    requested = set(names or ())
    servers = [s for s in local_servers(settings.home) if not requested or s.name in requested]
    for server in servers:
        if server.stops_at is None and not force:
            out.print(f"{server.name} is in use. --force stops it anyway.")
        else:
            stop_server(server)
            out.print(f"{server.name} stops.")
    missing = requested - {server.name for server in servers}

    def confirm(question: str) -> bool:
        return force or (sys.stdin.isatty() and typer.confirm(question))

    for known in clouds(settings) if everything or missing else ():
        if known.stop is not None:
            missing -= asyncio.run(known.stop(settings, missing, out.say, confirm))
    if missing:
        raise InputError(f"Nothing is called {', '.join(sorted(missing))}. `hearth status` lists the servers.")


def start(
    backend: options.Backend = None, model: options.Model = None, slots: options.Slots = None, pool: options.Pool = None
) -> None:
    """Start a server, or find one, and load the model.

    It stays warm for HEARTH_IDLE_MINUTES, 10 minutes by default.
    """
    settings = with_pool(load_settings(), pool)
    with show_progress():
        message = asyncio.run(_start(Options(backend=backend, model=model, slots=slots), settings))
    out.say(message)


async def _start(requested: Options, settings: Settings) -> str:
    from flows.engine.server_group import new_server_group

    setup = choose_setup(requested, settings)
    events: list[Event] = []
    with subscribe(events.append):
        async with new_server_group(setup, settings, f"hearth start, {os.getpid()}", (), Budget()) as group:
            await group.ready()
            slots = group.servers.capacity
    released = next(event for event in events if isinstance(event, ServerReleased))
    url = released.allocation.endpoint.url
    return f"{setup.model} is warm at {url} with {slots} slots. The server {released.message}."


def with_pool(settings: Settings, pool: str | None) -> Settings:
    """Return the settings with the pool that --pool names."""
    if pool is None:
        return settings
    named = settings.ec2.model_copy(update={"pool": pool})
    return settings.model_copy(update={"ec2": named, "backend": BackendName.EC2})


def _server_facts(server: ServerState) -> dict[str, Any]:
    facts = {"name": server.name, "url": server.url, "stops_at": server.stops_at}
    return {**facts, "about": server.about} if server.about else facts
