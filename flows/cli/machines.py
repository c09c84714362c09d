"""`hearth status`, `hearth stop` and `hearth start`: the servers that are warm, on this machine and on AWS."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import typer
from rich.table import Table

from flows.cli import options
from flows.cli.console import err, out, plain_table, print_json
from flows.cli.terminal import show_progress
from tasks.backends.ec2.policy import Why
from tasks.backends.ec2.pool import open_pool
from tasks.backends.ec2.reaper import end
from tasks.backends.ec2.status import MachineStatus, status_of
from tasks.backends.ecs.status import ServiceStatus, send_away, service_status
from tasks.backends.local.server_state import ServerState, local_servers, stop_server
from tasks.backends.sagemaker.status import EndpointStatus, endpoint_status
from tasks.core.budget import Budget
from tasks.core.errors import CloudError, InputError
from tasks.core.events import Event, subscribe
from tasks.core.jobs import BackendName
from tasks.core.options import Options
from tasks.reading.events import ServerReleased
from tasks.runs.prepare import choose_setup
from tasks.settings.settings import Settings, load_settings

_A_YEAR_MINUTES = 365 * 24 * 60
_SERVICES: dict[BackendName, Callable[[Settings], Coroutine[Any, Any, ServiceStatus | EndpointStatus]]] = {
    BackendName.ECS: service_status,
    BackendName.SAGEMAKER: endpoint_status,
}


def status(pool: options.Pool = None, as_json: options.Json = False) -> None:
    """Show the warm servers: who uses them, when they stop, what they cost."""
    settings = with_pool(load_settings(), pool)
    servers = list(local_servers(settings.home))
    if not as_json:
        for server in servers:  # before AWS is called, which may fail
            out.say(_line(server))
    machines, service = asyncio.run(_on_aws(settings))
    if as_json:
        facts: dict[str, Any] = {} if service is None else {"service": service.facts}
        facts |= {"servers": [_server_facts(s) for s in servers], "machines": [_machine_facts(m) for m in machines]}
        print_json(facts)
        return
    if service is not None:
        out.say(service.summary)
    if machines:
        out.print(_table(settings.ec2.pool, machines))
    if not servers and not machines and service is None:
        out.print("No server is warm.")


async def _on_aws(settings: Settings) -> tuple[list[MachineStatus], ServiceStatus | EndpointStatus | None]:
    machines = await status_of(await open_pool(settings)) if has_pool(settings) else []
    service = _SERVICES.get(settings.backend)
    return machines, None if service is None else await service(settings)


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
    everything: Annotated[bool, typer.Option("--all", help="Stop all servers, also EC2 machines.")] = False,
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
    if everything and settings.backend is BackendName.ECS:
        out.say(asyncio.run(send_away(settings, force=force)))
    if (everything or missing) and (has_pool(settings) or pool is not None):
        missing -= asyncio.run(_stop_machines(settings, missing, force=force))
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


async def _stop_machines(settings: Settings, requested: set[str], *, force: bool) -> set[str]:
    """Stop the named machines of the pool, or all if none is named, and return the names that exist."""
    pool = await open_pool(settings)
    found = [status for status in await status_of(pool) if not requested or status.machine.id in requested]
    refused: CloudError | None = None
    for status in found:
        machine = status.machine
        if status.leases and not force and not _confirmed(status):
            out.print(f"{machine.id} is left running.")
            continue
        try:
            decision = await end(pool, machine, Why.ASKED, force=bool(status.leases))
        except CloudError as error:  # go on with the others
            err.say(f"{machine.id} is not stopped: {error}")
            refused = refused or error
        else:
            out.print(f"{machine.id}: {decision.action} ({decision.why})")
    if refused is not None:
        raise refused
    return {status.machine.id for status in found}


def _confirmed(status: MachineStatus) -> bool:
    """Ask whether to stop a machine in use; without a terminal the answer is no."""
    used = f"{status.machine.id} is in use by {', '.join(lease.holder for lease in status.leases)}"
    if not sys.stdin.isatty():
        out.print(f"{used}. --force stops it anyway.")
        return False
    return typer.confirm(f"{used}; its pages would be read elsewhere. Stop it?")


def with_pool(settings: Settings, pool: str | None) -> Settings:
    """Return the settings with the pool that --pool names."""
    if pool is None:
        return settings
    named = settings.ec2.model_copy(update={"pool": pool})
    return settings.model_copy(update={"ec2": named, "backend": BackendName.EC2})


def has_pool(settings: Settings) -> bool:
    """Return whether EC2 is configured: only then are credentials needed. ECS and SageMaker share the pool's name."""
    named = "ec2" in settings.model_fields_set and settings.backend not in _SERVICES
    return settings.backend is BackendName.EC2 or named


def _table(pool: str, machines: list[MachineStatus]) -> Table:
    headers = ("machine", "state", "kind", "up", "model", "slots", "leases", "next", "USD")
    table = plain_table(*headers, title=f"Machines of the pool {pool}")
    for status in machines:
        facts = _machine_facts(status)
        leases = [f"{lease['holder']} ({lease['slots']} slots)" for lease in facts["leases"]]
        table.add_row(
            facts["id"],
            f"{facts['state']}{': ' + facts['notice'] if facts['notice'] else ''}",
            f"{facts['type']} {facts['market']}\n{facts['zone']}",
            f"{facts['up_seconds'] / 60:.0f} min" if facts["up_seconds"] is not None else "",
            "?" if facts["models"] is None else ", ".join(facts["models"]) or "none",
            f"{facts['slots_leased']} of {facts['slots']}",
            "\n".join(leases) or "none",
            facts["ends"],
            "" if facts["usd"] is None else f"{facts['usd']:.3f}",
        )
    return table


def _server_facts(server: ServerState) -> dict[str, Any]:
    facts = {"name": server.name, "url": server.url, "stops_at": server.stops_at}
    return {**facts, "about": server.about} if server.about else facts


def _machine_facts(status: MachineStatus) -> dict[str, Any]:
    machine = status.machine
    runs = machine.state in {"pending", "running"}
    return {
        **{"id": machine.id, "state": machine.state.value, "type": machine.type, "market": machine.market.value},
        **{"zone": machine.zone, "stage": machine.stage, "models": status.models},
        "up_seconds": round(status.at - machine.launched_at, 1) if runs else None,
        "notice": machine.notice.why if machine.notice else None,
        "slots": status.slots,
        "slots_leased": status.slots_leased,
        "leases": [{"holder": lease.holder, "slots": lease.slots, "until": lease.until} for lease in status.leases],
        "ends": status.ends,
        "look_again_at": status.decision.look_again_at,
        "usd": status.usd,
    }
