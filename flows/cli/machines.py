"""`hearth start` and `hearth stop`: warm servers, on this machine and on AWS."""

import asyncio
import os
import sys
from typing import Annotated

import typer

from flows.cli import options
from flows.cli.console import out
from flows.cli.status import with_pool
from flows.cli.terminal import show_progress
from tasks.backends.local.server_state import local_servers, stop_server
from tasks.backends.registry import clouds
from tasks.core.budget import Budget
from tasks.core.errors import InputError
from tasks.core.events import Event, subscribe
from tasks.core.options import Options
from tasks.reading.events import ServerReleased
from tasks.runs.setup import choose_setup
from tasks.settings.settings import Settings, load_settings
from tasks.text.slots import slots_text


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
            warmth = await group.ready()
            slots = slots_text(group.servers.capacity, warmth.slots_seen)
    released = next(event for event in events if isinstance(event, ServerReleased))
    url = released.allocation.endpoint.url
    return f"{setup.model} is warm at {url} with {slots}. The server {released.message}."
