"""Show findings; `hearth check` and `hearth infra doctor` share the layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from tasks.core.finding import Finding

Found = dict[str, list["Finding"]]
_STYLES = {"ok": "green", "missing": "red", "unknown": "yellow"}
_LEAST_WIDTH = 9


def findings_table(found: Found) -> Table:
    """Make a table with a row for each finding: its state, its subject, why, and the remedy."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(width=max(map(len, _STYLES)))
    table.add_column(width=max(_LEAST_WIDTH, *map(len, found)))
    table.add_column(overflow="fold")
    for subject, findings in found.items():
        for position, finding in enumerate(findings):
            state = Text(finding.state, style=_STYLES[finding.state])
            table.add_row(state, "" if position else subject, " ".join(filter(None, (finding.why, finding.remedy))))
    return table


def finding_facts(subject: str, finding: Finding) -> dict[str, object]:
    """Return a finding as an object for JSON."""
    return {"of": subject, "state": finding.state.value, "why": finding.why, "remedy": finding.remedy or None}
