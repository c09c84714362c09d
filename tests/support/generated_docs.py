"""The parts of docs/ that are made from the code: `python -m tests.support.generated_docs` writes them anew."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from flows.api.app import create_app
from flows.api.prefect_state import Status
from flows.api.settings import ApiSettings
from flows.api.uploads import option_parameters
from flows.cli.commands import COMMANDS, load_command
from infra_scripts.monitoring.dashboard import template
from tasks.core.errors import FailureReason
from tasks.core.flags import FlagName
from tasks.costs.assumptions import Assumptions, Range
from tasks.metrics.names import OF_MACHINES, OF_RUNS, Metric
from tasks.results.export import ExportedPage
from tasks.results.manifest import Manifest
from tasks.results.page import Attempt, PageResult
from tasks.results.usage import CostShares, EndpointRecord, MachineRecord
from tasks.settings.settings import Settings
from tests.support import flow_picture
from tests.support.code_tables import error_rows, field_rows, member_rows, table
from tests.support.infra.linted import decode

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference"


def with_blocks(page: Path) -> str:
    """Return the page's text with each block between its markers as the code has it now."""
    text = page.read_text()
    for name, block in PAGES[page].items():
        pattern = rf"(<!-- {name}: generated -->\n).*?(<!-- end -->)"
        made = block()
        text, count = re.subn(pattern, lambda match: f"{match[1]}{made}\n{match[2]}", text, flags=re.DOTALL)  # noqa: B023 - used at once
        assert count == 1, name
    return text


def settings_table() -> str:
    """Return a row for each setting of Hearth's."""
    return table(("variable", "default", "meaning"), _settings(Settings, "HEARTH_"))


def api_settings_table() -> str:
    """Return a row for each setting of the HTTP API."""
    return table(("variable", "default", "meaning"), _settings(ApiSettings, "API_"))


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
            yield f"`{prefix}{name.upper()}`", shown, field.description or ""


def assumptions_table() -> str:
    """Return a row for each assumption of a plan."""
    rows = []
    for name, field in Assumptions.model_fields.items():
        default: Any = field.get_default()
        ends = (default.low, default.typical, default.high) if isinstance(default, Range) else (default,)
        shown = "" if default is None else "-".join(f"{end:g}" if isinstance(end, float) else str(end) for end in ends)
        rows.append((f"`{name}`", shown, field.description))
    return table(("name", "default", "meaning"), rows)


def command_tables() -> str:
    """Return a section for each subcommand."""
    sections = []
    for name, command in _commands({name: load_command(name) for name in COMMANDS}):
        about = " ".join(command.help.split("\n\n")[0].split())
        lines = [f"### `hearth {name}`", "", about]
        options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
        options = [option for option in options if option.name != "help"]
        if options:
            lines += ["", table(("option", "meaning", "default"), map(_option, options))]
        sections.append("\n".join(lines))
    return "\n\n".join(sections)


def _option(option: Any) -> tuple[str, str, object]:
    unit = "" if option.is_flag else f" {option.metavar}"
    default = option.show_default if isinstance(option.show_default, str) else option.default
    return f"`{' '.join(option.opts)}{unit}`", option.help, None if option.is_flag else default


def _commands(commands: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in sorted(commands.items()):
        if hasattr(command, "commands"):
            yield from _commands(command.commands, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def metrics_table(*metrics: Metric) -> str:
    """Return a row for each metric."""
    units = {"None": "", "Count": ""}
    return table(
        ("CloudWatch", "Prometheus", "label", "unit", "meaning"),
        ((f"`{m.name}`", f"`{m.prometheus}`", m.label, units.get(m.unit, m.unit.lower()), m.about) for m in metrics),
    )


def alarms_table() -> str:
    """Return a row for each alarm."""
    rows = []
    silence = {"notBreaching": "all is well", "ignore": "the state stays"}
    for resource in decode(template())[0]["Resources"].values():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            alarm = resource["Properties"]
            about = alarm["AlarmDescription"]
            about = re.sub(r"\$\{(\w+)\}", r"`\1`", about["Fn::Sub"] if isinstance(about, dict) else about)
            name = alarm["AlarmName"]["Fn::Sub"].removeprefix("hearth-${Pool}-")
            rows.append((f"`{name}`", about, _periods(alarm), silence[alarm["TreatMissingData"]]))
    return table(("alarm", "goes off when", "over", "missing data means"), rows)


def _periods(alarm: dict[str, Any]) -> str:
    """Return the time that an alarm looks at, such as `2 of 3 times 5 min`."""
    seconds = alarm.get("Period") or min(q["MetricStat"]["Period"] for q in alarm["Metrics"] if "MetricStat" in q)
    periods = alarm["EvaluationPeriods"]
    breaching = alarm.get("DatapointsToAlarm", periods)
    length = f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h"
    return length if periods == 1 else f"{breaching} of {periods} times {length}"


def _described() -> dict[str, Any]:
    return create_app(Settings(), ApiSettings()).openapi()


def routes_table() -> str:
    """Return a row for each route of the HTTP API."""
    rows = []
    for path, methods in _described()["paths"].items():
        shown = path.replace("{document}", "{id}").replace("{number}", "{n}")
        for method, facts in methods.items():
            about = " ".join(facts.get("description", facts["summary"]).split())
            rows.append((method.upper(), f"`{shown}`", about, ", ".join(c for c in facts["responses"] if c < "300")))
    return table(("method", "path", "meaning", "success"), rows)


def refusals_table() -> str:
    """Return a row for each code with which the HTTP API refuses a request."""
    described = {
        code: response["description"]
        for path, methods in _described()["paths"].items()
        for facts in methods.values()
        for code, response in facts["responses"].items()
        if code >= "400" and path != "/health"
    }
    return table(("code", "why"), sorted(described.items()))


def api_options_table() -> str:
    """Return a row for each option of a posted document."""
    return table(
        ("option", "meaning"), ((f"`{option['name']}`", option["description"]) for option in option_parameters())
    )


def files_tables() -> str:
    """Return a section for each kind of record in the results."""
    titles: dict[str, type[BaseModel]] = {
        "`manifest.json`": Manifest,
        "Its `endpoint`": EndpointRecord,
        "Each of its `machines`": MachineRecord,
        "Its `shares`": CostShares,
        "`pages/0001.json`": PageResult,
        "Each of its `attempts`": Attempt,
        "A line of an export": ExportedPage,
    }
    head = ("field", "type", "meaning")
    return "\n\n".join(f"### {title}\n\n{table(head, field_rows(model))}" for title, model in titles.items())


PAGES: dict[Path, dict[str, Callable[[], str]]] = {
    REFERENCE / "command.md": {"command": command_tables},
    REFERENCE / "settings.md": {"settings": settings_table},
    REFERENCE / "assumptions.md": {"assumptions": assumptions_table},
    REFERENCE / "errors.md": {
        "errors": lambda: table(("error", "exit code", "meaning"), error_rows()),
        "reasons": lambda: table(("reason", "meaning"), member_rows(FailureReason)),
        "flags": lambda: table(("flag", "meaning"), member_rows(FlagName)),
    },
    REFERENCE / "files.md": {"fields": files_tables},
    REFERENCE / "api.md": {
        "routes": routes_table,
        "options": api_options_table,
        "statuses": lambda: table(("status", "meaning"), member_rows(Status)),
        "refusals": refusals_table,
        "settings": api_settings_table,
    },
    REFERENCE / "metrics.md": {
        "metrics of runs": lambda: metrics_table(*OF_RUNS),
        "metrics of machines": lambda: metrics_table(*OF_MACHINES),
        "alarms": alarms_table,
    },
}


if __name__ == "__main__":
    for written in PAGES:
        written.write_text(with_blocks(written))
    flow_picture.PICTURE.write_text(flow_picture.picture())
