"""What `--help` says: in order of use, with units and defaults, in 80 columns."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from rich.cells import cell_len
from typer.main import get_command
from typer.testing import CliRunner

from flows.cli import commands as listed
from flows.cli.main import app

GROUPS = ["Read", "Prefect and HTTP", "Servers", "Costs", "Settings and shell", "AWS"]
NOT_OURS = {"help", "version"}
ROOT: Any = get_command(app)
ROOT.commands = {name: listed.load_command(name) for name in listed.COMMANDS}
UNITLESS = {"<str>", "<int>", "<float>", "TEXT", "INTEGER", "FLOAT", None}


def commands(group: Any = None, *path: str) -> Iterator[tuple[str, ...]]:
    """Every command that there is, groups and the whole included."""
    group = group or ROOT
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *path, name)


def options() -> Iterator[Any]:
    for path in commands():
        command: Any = ROOT
        for name in path:
            command = command.commands[name]
        for parameter in command.params:
            if parameter.name not in NOT_OURS and parameter.name != "_":
                yield pytest.param(path, parameter, id=" ".join((*path, parameter.name)))


OPTIONS = list(options())
COMMANDS = [path for path in commands() if path != ("serve-embedded",)]  # that one is another program


@cache
def shown(*path: str, columns: str | None = "80") -> str:
    done = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": columns, "TERMINAL_WIDTH": None})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("columns", ["80", None])
@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_no_line_is_wider_than_80_columns(path: tuple[str, ...], columns: str | None):
    assert max(cell_len(line.rstrip()) for line in shown(*path, columns=columns).splitlines()) <= 80


def test_the_embedded_servers_help_fits_into_80_columns():
    command = [sys.executable, "-P", "-m", "tasks.embedded", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_groups_are_in_order_of_use():
    text = shown()
    places = [text.index(f"─ {group} ─") for group in GROUPS]
    assert places == sorted(places)


def test_the_commands_for_a_newcomer_come_first():
    text = shown()
    places = [text.index(f"\u2502 {name} ") for name in ("sample", "check", "read", "batch", "logs", "up")]
    assert places == sorted(places)


@pytest.mark.parametrize(("path", "option"), OPTIONS)
def test_every_option_has_a_help_text(path: tuple[str, ...], option: Any):
    assert option.help, path
    assert option.help.endswith("."), path


@pytest.mark.parametrize(("path", "option"), OPTIONS)
def test_every_option_with_a_value_shows_its_unit_and_default(path: tuple[str, ...], option: Any):
    if getattr(option, "is_flag", False):
        return
    assert option.metavar not in UNITLESS, path
    if not option.required:
        text = " ".join(shown(*path, columns="200").split())
        begin = text.index(option.metavar, text.index(f"{option.param_type_name.title()}s ─"))
        assert "[default: " in text[begin : begin + 300], (path, option.name)
