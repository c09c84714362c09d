"""Tables of a page's text as the cells beside each cell, as olmOCR-bench has them (olmocr/bench/table_parsing.py).

A cell that spans rows or columns is one cell, with several beside it. A heading is a `th`, or a cell of a `thead`; of a
Markdown table the first row and column. Where a direction has no headings, its last cells count as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.models.html_table import Cell, parse_table, table_places
from tasks.models.tables import markdown_tables, row_cells

Place = tuple[int, int]
_STEPS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}


@dataclass(frozen=True)
class TableFacts:
    """A table.

    Attributes:
        text: of each cell, by the row and column where it begins.
        headings: the cells that are headings.
        grid: the cell that covers each row and column.
    """

    text: dict[Place, str]
    headings: set[Place]
    grid: dict[Place, Place]

    def beside(self, place: Place, side: str) -> set[Place]:
        """Return the cells beside a cell: up, down, left, right, or those that are its top_heading or left_heading."""
        if side in _STEPS:
            return self._next(place, side)
        step = "up" if side == "top_heading" else "left"
        seen, left, last = set[Place](), {place}, set[Place]()
        while left:
            here = left.pop()
            seen.add(here)
            further = self._next(here, step)
            left |= further - seen
            if not further:
                last.add(here)
        return (seen & self.headings) - {place} or last - {place}

    def _next(self, place: Place, side: str) -> set[Place]:
        down, across = _STEPS[side]
        rows, columns = (max(at[axis] for at in self.grid) for axis in (0, 1))
        found = set()
        for start in (at for at, cell in self.grid.items() if cell == place):
            row, column = start[0] + down, start[1] + across
            while 0 <= row <= rows and 0 <= column <= columns:
                other = self.grid.get((row, column), place)
                if other != place:
                    found.add(other)
                    break
                row, column = row + down, column + across
        return found


def tables_of(text: str, *, markdown: bool = True) -> list[TableFacts]:
    """Return the tables of a text, those in Markdown if wanted, and those in HTML."""
    tables = []
    if markdown:
        lines = text.split("\n")
        for start, end in markdown_tables(lines):
            rows = [row_cells(line) for place, line in enumerate(lines[start:end]) if place != 1]
            cells = [
                [Cell(cell, is_heading=not (down and across)) for across, cell in enumerate(row)]
                for down, row in enumerate(rows)
            ]
            tables.append(_facts(cells))
    tables += [_facts(parse_table(text[start:end]).rows) for start, end in table_places(text)]
    return [table for table in tables if table.text]


def _facts(rows: Sequence[Sequence[Cell]]) -> TableFacts:
    facts = TableFacts({}, set(), {})
    for down, row in enumerate(rows):
        across = 0
        for cell in row:
            while (down, across) in facts.grid:
                across += 1
            facts.text[down, across] = cell.text.replace("<br>", " ")
            if cell.is_heading:
                facts.headings.add((down, across))
            for below in range(min(cell.height, len(rows) - down)):
                for beside in range(cell.width):
                    facts.grid.setdefault((down + below, across + beside), (down, across))
    return facts
