"""The parts of docs/ that are made from the code: `python -m tests.support.generated_docs` writes them anew."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cfnlint import decode
from pydantic import BaseModel
from typer.main import get_command

from flows.cli.main import app
from infra_scripts.monitoring.dashboard import template
from tasks.core.errors import FailureReason
from tasks.metrics.names import OF_MACHINES, OF_RUNS, Metric
from tasks.settings.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"


def with_blocks(page: Path) -> str:
    """The page's text with each block between its markers as the code has it now."""
    text = page.read_text()
    for name, block in PAGES[page].items():
        pattern = rf"(<!-- {name}: generated -->\n).*?(<!-- end -->)"
        made = block()
        text, count = re.subn(pattern, lambda match: f"{match[1]}{made}\n{match[2]}", text, flags=re.DOTALL)  # noqa: B023 - used at once
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
            shown = {"home": "`~/.cache/hearth`", "prompt": "see `tasks/settings/settings.py`"}.get(name, shown)
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
            lines += ["", "| option | what it does | default |", "| --- | --- | --- |"]
            lines += [_option(option) for option in options]
        sections.append("\n".join(lines))
    return "\n\n".join(sections)


def _option(option: Any) -> str:
    """A row: its names and unit, what it does, and its default."""
    unit = "" if option.is_flag else f" {option.metavar}".replace("|", "\\|")
    default = option.show_default if isinstance(option.show_default, str) else option.default
    shown = "" if option.is_flag or default is None else default
    return f"| `{' '.join(option.opts)}{unit}` | {option.help} | {shown} |"


def _commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def reasons() -> str:
    """A row for each reason of a failure, with what stands under it in the code."""
    source = (Path(__file__).parents[2] / "tasks" / "core" / "errors.py").read_text()
    rows = ["| reason | what happened |", "| --- | --- |"]
    for reason in FailureReason:
        described = re.search(rf'{reason.name} = .*\n    """(.*?)"""', source)
        assert described is not None
        rows.append(f"| `{reason}` | {described[1]} |")
    return "\n".join(rows)


def metrics_table(*metrics: Metric) -> str:
    """A row for each metric."""
    rows = ["| CloudWatch | Prometheus | told apart by | unit | what it is |", "| --- | --- | --- | --- | --- |"]
    for metric in metrics:
        unit = "" if metric.unit in {"None", "Count"} else metric.unit.lower()
        rows.append(f"| `{metric.name}` | `{metric.prometheus}` | {metric.label} | {unit} | {metric.about} |")
    return "\n".join(rows)


def alarms_table() -> str:
    """A row for each alarm."""
    rows = ["| alarm | goes off when | for | what silence means |", "| --- | --- | --- | --- |"]
    silence = {"notBreaching": "all is well", "ignore": "the last word stands"}
    for resource in decode.decode_str(template())[0]["Resources"].values():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            alarm = resource["Properties"]
            about = alarm["AlarmDescription"]
            about = re.sub(r"\$\{(\w+)\}", r"`\1`", about["Fn::Sub"] if isinstance(about, dict) else about)
            name = alarm["AlarmName"]["Fn::Sub"].removeprefix("hearth-${Pool}-")
            rows.append(f"| {name} | {about} | {_periods(alarm)} | {silence[alarm['TreatMissingData']]} |")
    return "\n".join(rows)


def _periods(alarm: dict[str, Any]) -> str:
    """Such as `2 of 3 times 5 min`."""
    seconds = alarm.get("Period") or min(q["MetricStat"]["Period"] for q in alarm["Metrics"] if "MetricStat" in q)
    all_of_them = alarm["EvaluationPeriods"]
    some = alarm.get("DatapointsToAlarm", all_of_them)
    length = f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h"
    return length if all_of_them == 1 else f"{some} of {all_of_them} times {length}"


PAGES: dict[Path, dict[str, Callable[[], str]]] = {
    DOCS / "reference.md": {"settings": settings_table, "command": command_tables, "reasons": reasons},
    DOCS / "monitoring.md": {
        "metrics of runs": lambda: metrics_table(*OF_RUNS),
        "metrics of machines": lambda: metrics_table(*OF_MACHINES),
        "alarms": alarms_table,
    },
}


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(with_blocks(each))
