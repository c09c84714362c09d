"""The commands of `hearth`, each imported only when it is called: `hearth --help` imports none of them."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from tasks.core.imports import importing


@dataclass(frozen=True)
class _Entry:
    """A command in the table.

    Attributes:
        panel: heading under which `hearth --help` lists it.
        summary: first sentence of its help.
        target: its module in flows.cli, and the function or group there: `cost:cost`.
        passes_on: whether it takes whatever arguments follow.
    """

    panel: str
    summary: str
    target: str
    passes_on: bool = False


_READ, _PREFECT, _SERVERS, _COSTS, _SHELL = "Read", "Prefect and HTTP", "Servers", "Costs", "Settings and shell"
# In order of use: this is the order of `hearth --help`.
COMMANDS = {
    "sample": _Entry(_READ, "Write a small scanned PDF to try Hearth with.", "sample:sample"),
    "check": _Entry(_READ, "Show what a run would use, and what is missing.", "check:check"),
    "read": _Entry(
        _READ, "Read PDFs one after the other, each in a run of its own, on the same warm server.", "read:read"
    ),
    "batch": _Entry(_READ, "Read all new or changed documents on the same servers.", "batch:batch"),
    "export": _Entry(_READ, "Export pages that are stored, for other programs; nothing is read anew.", "export:export"),
    "models": _Entry(_READ, "List what models are sent: their profiles.", "models:models"),
    "logs": _Entry(_READ, "Print a run's log.", "logs:logs"),
    "clean": _Entry(_READ, "Delete what is older than the settings HEARTH_RETENTION__* allow.", "clean:clean"),
    "up": _Entry(_PREFECT, "Start Prefect here: a server, Hearth's deployments, and a worker.", "up:up"),
    "down": _Entry(_PREFECT, "Stop what hearth up started: the worker and the server.", "up:down"),
    "serve-api": _Entry(_PREFECT, "Serve the HTTP API: post a PDF, watch its pages, fetch its text.", "up:serve_api"),
    "start": _Entry(_SERVERS, "Start a server, or find one, and load the model.", "machines:start"),
    "status": _Entry(
        _SERVERS, "Show the warm servers: who uses them, when they stop, what they cost.", "status:status"
    ),
    "stop": _Entry(_SERVERS, "Stop warm servers.", "machines:stop"),
    "top": _Entry(_SERVERS, "Watch the current runs: slots, latency, pages, tokens and cost.", "top:top"),
    "metrics": _Entry(_SERVERS, "Print or serve this machine's metrics in Prometheus' format.", "top:metrics"),
    "serve-embedded": _Entry(
        _SERVERS,
        "Serve Ollama's API with an OCR engine on this machine.",
        "serve_embedded:serve_embedded",
        passes_on=True,
    ),
    "plan": _Entry(_COSTS, "Compare time and cost of every architecture; nothing is started.", "plan:plan"),
    "cost": _Entry(_COSTS, "Show what was paid for: reading, boot, idle time and disks.", "cost:cost"),
    "simulate": _Entry(
        _COSTS, "Simulate days of runs on each kind of fleet; nothing is started.", "simulate:simulate_command"
    ),
    "prices": _Entry(_COSTS, "Show the price book, or refresh it from AWS.", "plan:prices"),
    "config": _Entry(_SHELL, "Show every setting: its value, unit, default, and where it comes from.", "config:config"),
    "completion": _Entry(_SHELL, "Print the completion script of a shell.", "completion:completion"),
    "infra": _Entry("AWS", "Deploy stacks on AWS, show their status, delete them.", "infra_group:infra"),
}


def load_command(name: str) -> Any:  # noqa: ANN401 - typer has its own kind of command
    """Import the command `name` and return it."""
    entry = COMMANDS[name]
    module, attribute = entry.target.split(":")
    with importing():
        target = getattr(import_module(f"flows.cli.{module}"), attribute)
    if isinstance(target, typer.Typer):
        return get_command(target)
    app = typer.Typer(add_completion=False, rich_markup_mode="rich")
    taken = {"allow_extra_args": True, "ignore_unknown_options": True} if entry.passes_on else None
    app.command(name, context_settings=taken, add_help_option=not entry.passes_on)(target)
    return get_command(app)


class LazyGroup(TyperGroup):
    """The group of all commands. It lists them from the table, and imports the one that is called."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - typer's
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.summary, rich_help_panel=entry.panel, callback=None))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401 - typer's
        """Return the name of the called command, the command, and its arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name and command else command, rest
