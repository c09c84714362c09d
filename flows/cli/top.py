"""`hearth top` and `hearth metrics`: the current runs for people, and all numbers for Prometheus."""

import asyncio
import time
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flows.cli import options
from flows.cli.console import out, plain_table, print_json, write
from flows.cli.status import with_pool
from infra_scripts.machine.gpu import gpus
from tasks.backends.ec2.pool import open_pool
from tasks.backends.registry import clouds
from tasks.core.errors import InputError
from tasks.core.jobs import BackendName
from tasks.metrics.top import MachineNow, ServerNow, Slots, View, Watch
from tasks.settings.settings import load_settings

_REFRESH_SECONDS = 1.0
_GPU_SECONDS = 5.0
_BAR_WIDTH = 10


def top(
    pool: options.Pool = None,
    once: Annotated[bool, typer.Option("--once", help="Show the current state once, and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the current state once as JSON.")] = False,
) -> None:
    """Watch the current runs: slots, latency, pages, tokens and cost.

    Press Ctrl-C to exit.
    """
    settings = with_pool(load_settings(), pool)

    async def watched() -> None:
        pooled = any(known.name is BackendName.EC2 for known in clouds(settings))
        watch = Watch(settings.home, (lambda: open_pool(settings)) if pooled else None)
        if as_json:
            print_json({**(await watch.look()).facts(), "gpus": gpus()})
        elif once or not out.is_terminal:
            out.print(drawn(await watch.look(), gpus()))
        else:
            await _follow(watch)

    try:
        asyncio.run(watched())
    except KeyboardInterrupt:
        return


def metrics(
    serve: Annotated[bool, typer.Option("--serve", help="Serve the metrics at /metrics until Ctrl-C.")] = False,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="PORT", help="Port to listen on; 0 picks a free one.")
    ] = 9464,
) -> None:
    """Print or serve this machine's metrics in Prometheus' format.

    They cover all runs on this machine, and its GPUs.
    """
    from tasks.metrics.prometheus import Gpus, Machine, registry, text

    metrics = registry(Machine(load_settings().home), Gpus(gpus))
    if not serve:
        write(text(metrics))
        return
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(port, host, metrics)
    except OSError as error:
        raise InputError(
            f"Metrics cannot be served at {host}:{port} ({error.strerror}). Choose another --port."
        ) from None
    out.print(f"http://{host}:{server.server_port}/metrics")
    try:
        thread.join()
    except KeyboardInterrupt:
        server.shutdown()


async def _follow(watch: Watch) -> None:
    usage: list[dict[str, float]] = []
    next_usage = 0.0
    with Live(console=out, screen=True, auto_refresh=False) as live:
        while True:
            if time.monotonic() >= next_usage:
                usage = await asyncio.to_thread(gpus)
                next_usage = time.monotonic() + _GPU_SECONDS
            live.update(drawn(await watch.look(), usage), refresh=True)
            await asyncio.sleep(_REFRESH_SECONDS)


def drawn(view: View, usage: Sequence[dict[str, float]]) -> RenderableType:
    """Return a view and the usage of this machine's GPUs as tables for the terminal."""
    parts: list[RenderableType] = [_summary(view, usage)]
    if view.runs:
        parts += ["", _runs(view)]
    if view.servers:
        parts += ["", _servers(view.servers, view.at)]
    if view.machines:
        parts += ["", _machines(view.machines)]
    if view.trouble:
        parts += ["", Text(view.trouble, style="yellow")]
    return Group(*parts)


def _summary(view: View, usage: Sequence[dict[str, float]]) -> Text:
    total = view.totals()
    parts = [
        time.strftime("%H:%M:%S", time.localtime(view.at)),
        f"{total['runs']} run{'s' if total['runs'] != 1 else ''}",
        f"{total['in_flight']} of {total['slots']} slots",
        f"{total['pages_a_minute']:.0f} pages/min",
        f"{total['tokens_a_second']:.0f} tokens/s",
        *([f"p95 {_seconds(total['p95'])}"] if view.runs and total["p95"] else []),
        f"USD {total['usd']:.4f}",
    ]
    if view.machines:
        parts.append(f"machines USD {total['machines_usd']:.3f} since they started")
    parts += [f"GPU {_percent(gpu.get('use'))}, memory {_percent(gpu.get('memory'))}" for gpu in usage]
    return Text("hearth top  ", style="bold") + Text("  ".join(parts))


def _runs(view: View) -> Table:
    table = plain_table(
        "run", "model", "step", "pages", "failed", "slots", "p50", "p95", "first token", "pages/min", "tokens/s", "USD"
    )
    for run in view.runs:
        table.add_row(
            run.name,
            run.model,
            run.stage,
            f"{run.done} of {run.asked}",
            Text(f"{run.failed}", style="red") if run.failed else "0",
            _bar(run.in_flight, run.slots),
            _seconds(run.p50),
            _seconds(run.p95),
            _seconds(run.first_p50),
            f"{run.pages_a_minute:.0f}",
            f"{run.tokens_a_second:.0f}",
            f"{run.usd:.4f}",
        )
    return table


def _servers(servers: Sequence[ServerNow], at: float) -> Table:
    table = plain_table("server", "", "slots held", "in flight", "runs", "stops")
    for server in servers:
        stops = "" if server.stops_at is None else f"in {max(0.0, server.stops_at - at) / 60:.0f} min"
        table.add_row(
            server.url, server.name, _held(server.slots), f"{server.in_flight}", f"{server.slots.runs}", stops
        )
    return table


def _machines(machines: Sequence[MachineNow]) -> Table:
    table = plain_table("machine", "state", "kind", "slots held", "leases", "next", "USD")
    for now in machines:
        status = now.status
        table.add_row(
            status.machine.id,
            status.machine.state.value,
            status.machine.kind,
            _held(now.slots),
            "\n".join(lease.holder for lease in status.leases) or "none",
            status.ends,
            "" if status.usd is None else f"{status.usd:.3f}",
        )
    return table


def _held(slots: Slots) -> Text:
    if not slots.served:
        return Text("not known")
    limit = f", {slots.limit} at once now" if slots.limit < slots.served else ""
    return _bar(slots.held, slots.served).append(limit).append("" if slots.proven else ", asked for, not yet seen")


def _bar(used: int, of: int) -> Text:
    full = min(_BAR_WIDTH, round(_BAR_WIDTH * used / of)) if of else 0
    return Text.assemble(("█" * full, "green"), ("░" * (_BAR_WIDTH - full), "dim"), f" {used}/{of}")


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def _percent(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f} %"
