"""`hearth config`: show every setting, and where its value comes from."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from flows.api.settings import load_api_settings
from flows.cli import options
from flows.cli.console import err, out, print_json
from tasks.core.errors import HearthError
from tasks.core.private import restrict_directory, set_umask
from tasks.settings.origins import Origin, Source, notes, origins
from tasks.settings.settings import OF_THE_EMBEDDED_SERVER, Settings, load_settings

_MOST_CHARACTERS = 100
_HOME_NAMES = re.compile(
    r"prefect-[a-z]+|servers|slots|runs|copies|embedded|prices\.json|metrics\..*|clock-.*|\..*\.tmp"
)
_RESULT_NAMES = re.compile(r".*-[0-9a-f]{12}|\.by-content|batches|api|[a-z]+\.jsonl|\.lock|\..*\.tmp")
_COMMANDS_WITH_NOTES = {"read", "batch", "start", "up", "serve-api", "infra"}


def note_directory(command: str | None) -> None:
    """Print what the working directory configures, for commands that send pages somewhere or cost money."""
    if command not in _COMMANDS_WITH_NOTES:
        return
    with suppress(HearthError):  # the command itself reports it
        for note in (*notes(), *_exposed(load_settings())):
            err.note(note)


def _exposed(settings: Settings) -> Iterator[str]:
    """Close files that an earlier version left open to other users, and yield a note for each directory."""
    set_umask()
    for place, names in ((settings.home, _HOME_NAMES), (settings.output, _RESULT_NAMES)):
        if isinstance(place, Path) and (note := restrict_directory(place, names.fullmatch)):
            yield note


def config(
    backend: options.Backend = None,
    model: options.Model = None,
    output: options.Output = None,
    changed: Annotated[bool, typer.Option("--changed", help="Show only settings with a changed value.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings and their descriptions as JSON.")] = False,
) -> None:
    """Show every setting: its value, unit, default, and where it comes from.

    Secrets are masked. Options show their setting as `hearth read` would use it.
    """
    overrides = {"HEARTH_BACKEND": backend, "HEARTH_MODEL": model, "HEARTH_OUTPUT": output}
    settings = [
        *origins(load_settings(), "HEARTH_", overrides),
        *_of_the_embedded_server(),
        *origins(load_api_settings(), "API_"),
    ]
    shown = [setting for setting in settings if setting.source is not Source.DEFAULT or not changed]
    if as_json:
        print_json([asdict(setting) for setting in shown])
        return
    out.print(_table(shown))
    for note in notes():
        err.note(note)


def _of_the_embedded_server() -> Iterator[Origin]:
    for name in sorted(OF_THE_EMBEDDED_SERVER):
        value = os.environ.get(name) or None
        source = Source.ENVIRONMENT if value else Source.DEFAULT
        yield Origin(name, value, None, "", source, name if value else "", "Of the embedded server.")


def _table(shown: list[Origin]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name, width in (("setting", 37), ("value", 17), ("default", 11), ("from", 11)):
        table.add_column(name, overflow="fold", width=width)
    for setting in shown:
        default = "unset" if setting.default is None else setting.default
        value = "unset" if setting.value is None else f"{_cut(setting.value)} {setting.unit}".rstrip()
        variable = setting.where.partition(" in ")[0]
        other = f" {variable}" if variable and variable != setting.name else ""
        table.add_row(setting.name, value, _cut(default), f"{setting.source.value}{other}")
    return table


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
