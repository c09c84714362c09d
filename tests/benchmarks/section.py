"""A part of what `make bench` measures: a table of figures, which is printed and kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from tests.benchmarks.servers import ROOT
from tests.support.code_tables import table

BUILD = ROOT / "build" / "bench"
SECTIONS = BUILD / "sections"


@dataclass(frozen=True)
class Section:
    """A table of figures.

    Attributes:
        name: of the file that keeps it.
        title: what was measured, with units.
        columns: the first one may be empty.
        rows: a text for each column.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def show(self) -> None:
        """Print it, and keep it in build/bench/sections, as JSON and as Markdown for the docs."""
        shown = Table(*self.columns, title=self.title)
        for row in self.rows:
            shown.add_row(*row)
        Console(width=None if sys.stdout.isatty() else 160).print(shown)
        SECTIONS.mkdir(parents=True, exist_ok=True)
        (SECTIONS / f"{self.name}.json").write_text(json.dumps(asdict(self)))
        (SECTIONS / f"{self.name}.md").write_text(f"{self.markdown()}\n")

    def markdown(self) -> str:
        """Return its title and a Markdown table."""
        return f"{self.title}:\n\n{table(self.columns, self.rows)}"
