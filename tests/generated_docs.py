"""The parts of docs/reference.md that are made from the code: `python -m tests.generated_docs` writes them anew."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from typer.main import get_command

from flows.cli import app
from tasks.errors import FailureReason
from tasks.settings import Settings

REFERENCE = Path(__file__).parents[1] / "docs" / "reference.md"


def with_blocks(text: str) -> str:
    """The text with each block between its markers as the code has it now."""
    for name, block in {"settings": settings_table(), "command": command_tables(), "reasons": reasons()}.items():
        pattern = rf"(<!-- {name}: generated -->\n).*?(<!-- end -->)"
        text, count = re.subn(pattern, lambda match: f"{match[1]}{block}\n{match[2]}", text, flags=re.DOTALL)  # noqa: B023 - used at once
        assert count == 1, name
    return text


def settings_table() -> str:
    """A row for each setting."""
    rows = ["| variable | default | what it is |", "| --- | --- | --- |"]
    for name, default, description in _settings(Settings, "HEARTH_"):
        rows.append(f"| `{name}` | {default} | {description} |")
    return "\n".join(rows)


def _settings(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _settings(inner, f"{prefix}{name.upper()}__")
        else:
            default: Any = field.get_default()
            # A list is written as JSON in the environment, too.
            shown = json.dumps(default) if isinstance(default, tuple) else default
            shown = "" if default is None else f"`{shown}`"
            shown = {"home": "`~/.cache/hearth`", "prompt": "see `tasks/settings.py`"}.get(name, shown)
            yield f"{prefix}{name.upper()}", shown, field.description or ""


def command_tables() -> str:
    """A section for each subcommand."""
    sections = []
    for name, command in _commands(get_command(app)):
        about = " ".join(command.help.split("\n\n")[0].split())
        lines = [f"### `hearth {name}`", "", about]
        options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
        options = [option for option in options if option.name != "help"]
        if options:
            lines += ["", "| option | what it does |", "| --- | --- |"]
            lines += [f"| `{' '.join(option.opts)}` | {option.help} |" for option in options]
        sections.append("\n".join(lines))
    return "\n\n".join(sections)


def _commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def reasons() -> str:
    """A row for each reason of a failure, with what stands under it in the code."""
    source = (Path(__file__).parents[1] / "tasks" / "errors.py").read_text()
    rows = ["| reason | what happened |", "| --- | --- |"]
    for reason in FailureReason:
        described = re.search(rf'{reason.name} = .*\n    """(.*?)"""', source)
        assert described is not None
        rows.append(f"| `{reason}` | {described[1]} |")
    return "\n".join(rows)


if __name__ == "__main__":
    REFERENCE.write_text(with_blocks(REFERENCE.read_text()))
