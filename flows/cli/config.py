"""`hearth config`: every setting, and where it comes from."""

from __future__ import annotations

import json
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
from flows.cli.console import Terminal, write
from tasks.core.errors import HearthError
from tasks.core.private import restrict_directory, set_umask
from tasks.settings.origins import Origin, Source, notes, origins
from tasks.settings.settings import OF_THE_EMBEDDED_SERVER, Settings, load_settings

_out = Terminal()
_err = Terminal(stderr=True)
_MOST_CHARACTERS = 100
_OF_HOME = re.compile(r"prefect-[a-z]+|servers|slots|runs|copies|embedded|prices\.json|metrics\..*|clock-.*|\..*\.tmp")
_OF_RESULTS = re.compile(r".*-[0-9a-f]{12}|\.by-content|batches|api|[a-z]+\.jsonl|\.lock|\..*\.tmp")
_NOTED = {"read", "batch", "start", "up", "serve-api", "infra"}


def note_directory(command: str | None) -> None:
    """Print what the working directory sets, for commands that send pages somewhere or cost money."""
    if command not in _NOTED:
        return
    with suppress(HearthError):  # the command itself tells it
        for note in (*notes(), *_loose(load_settings())):
            _err.note(note)


def _loose(settings: Settings) -> Iterator[str]:
    """Close what an earlier version left open to others, and tell of what may be others', too."""
    set_umask()
    places = ((settings.home, _OF_HOME), (settings.output, _OF_RESULTS))
    for place, names in places:
        if isinstance(place, Path) and (note := restrict_directory(place, names.fullmatch)):
            yield note


def config(
    backend: options.Backend = None,
    model: options.Model = None,
    output: options.Output = None,
    changed: Annotated[bool, typer.Option("--changed", help="Show only what is not at its default.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, with descriptions.")] = False,
) -> None:
    """Show every setting: its value, default and unit, and where it comes from.

    Secrets are masked. Options show a setting as if they were given to read.
    """
    given = {"HEARTH_BACKEND": backend, "HEARTH_MODEL": model, "HEARTH_OUTPUT": output}
    found = [
        *origins(load_settings(), "HEARTH_", given),
        *_of_the_embedded_server(),
        *origins(load_api_settings(), "API_"),
    ]
    shown = [each for each in found if each.source is not Source.DEFAULT or not changed]
    if as_json:
        write(json.dumps([asdict(each) for each in shown]) + "\n")
        return
    _out.print(_table(shown))
    for note in notes():
        _err.note(note)


def _of_the_embedded_server() -> Iterator[Origin]:
    for name in sorted(OF_THE_EMBEDDED_SERVER):
        value = os.environ.get(name) or None
        source = Source.ENVIRONMENT if value else Source.DEFAULT
        yield Origin(name, value, None, "", source, name if value else "", "Of the embedded server.")


def _table(shown: list[Origin]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name, width in (("setting", 37), ("value", 17), ("default", 11), ("from", 11)):
        table.add_column(name, overflow="fold", width=width)
    for each in shown:
        default = "unset" if each.default is None else each.default
        value = "unset" if each.value is None else f"{_cut(each.value)} {each.unit}".rstrip()
        variable = each.where.partition(" in ")[0]
        other = f" {variable}" if variable and variable != each.name else ""
        table.add_row(each.name, value, _cut(default), f"{each.source.value}{other}")
    return table


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
