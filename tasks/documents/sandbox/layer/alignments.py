"""Tables of figures without rules, by the gaps that their rows share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from tasks.documents.sandbox.layer.lines import Line
from tasks.documents.sandbox.layer.order import Row, rows
from tasks.documents.sandbox.layer.tables import Table

_LEAST_ROWS, _LEAST_COLUMNS = 3, 3
# Between parts of a row, in sizes of its print; and between words of two cells, in heights of a word.
_PART_GAP, _CELL_GAP = 1.5, 0.6
# Of the cells beside the first column, those with a digit; and of all cells, those with a text.
_FIGURES, _FILLED = 0.5, 0.6
# Of the rows, those that may cross a gap between two columns, as headings of several columns do.
_CROSSING = 0.1
_CURRENCIES = frozenset("$\u20ac\u00a3\u00a5")

_Span = tuple[float, float]


def parts(row: Row) -> list[Row]:
    """Return what stands far apart in a row."""
    found = [[row.cells[0]]]
    for before, after in pairwise(row.cells):
        if after.x0 - before.x1 > _PART_GAP * row.size:
            found.append([])
        found[-1].append(after)
    return [Row(tuple(part)) for part in found]


def aligned_tables(column: Sequence[Row], words: Callable[[], Sequence[Line]]) -> list[Table]:
    """Return the tables among the rows of a column.

    Args:
        column: its rows, from top to bottom.
        words: returns the words of the page; called only where rows look like those of a table.
    """
    found = (_table(run, words()) for run in _runs(column) if len(run) >= _LEAST_ROWS)
    return [table for table in found if table is not None]


def _runs(column: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield rows of several parts that follow each other; between two of them may be one other."""
    run: list[Row] = []
    between: list[Row] = []
    for row in column:
        if len(row.cells) >= _LEAST_COLUMNS and len(parts(row)) >= _LEAST_COLUMNS:
            run += [*between, row]
            between = []
        elif run and not between:
            between = [row]
        else:
            yield run
            run, between = [], []
    yield run


def _table(run: Sequence[Row], words: Sequence[Line]) -> Table | None:
    box = min(r.x0 for r in run), min(r.y0 for r in run), max(r.x1 for r in run), max(r.y1 for r in run)
    whole = Table(box, ())
    lines = [_cells(row) for row in rows(word for word in words if whole.holds(word))]
    full = [line for line in lines if len(line) >= _LEAST_COLUMNS]
    columns = _columns(full)
    if len(full) < _LEAST_ROWS or len(columns) < _LEAST_COLUMNS:
        return None
    texts = [_texts(line, columns) for line in full]
    beside = [text for line in texts for text in line[1:] if text]
    if sum(any(map(str.isdigit, text)) for text in beside) < _FIGURES * len(beside):
        return None
    if len(beside) + sum(bool(line[0]) for line in texts) < _FILLED * len(texts) * len(columns):
        return None
    return Table(box, tuple(_texts(line, columns) for line in lines))


def _cells(row: Row) -> list[Line]:
    """Return the words of a row as cells; the sign of a currency belongs to the figure after it."""
    cells: list[Line] = []
    for word in row.cells:
        if word.text == ".":  # of the leaders between a name and its figures
            continue
        last = cells[-1] if cells else None
        is_near = last is not None and word.x0 - last.x1 < _CELL_GAP * word.size and word.text not in _CURRENCIES
        if last is not None and (is_near or last.text in _CURRENCIES):
            box = last.x0, min(last.y0, word.y0), word.x1, max(last.y1, word.y1)
            cells[-1] = Line(*box, f"{last.text} {word.text}", word.size)
        else:
            cells.append(word)
    return cells


def _columns(lines: Sequence[Sequence[Line]]) -> list[_Span]:
    """Return the left and right edges of the columns: where more than a few rows have a cell."""
    edges = sorted((edge, step) for line in lines for cell in line for edge, step in ((cell.x0, 1), (cell.x1, -1)))
    columns: list[_Span] = []
    depth, start, few = 0, 0.0, _CROSSING * len(lines)
    for edge, step in edges:
        if depth <= few < depth + step:
            start = edge
        elif depth > few >= depth + step:
            columns.append((start, edge))
        depth += step
    return columns


def _texts(line: Sequence[Line], columns: Sequence[_Span]) -> tuple[str, ...]:
    """Return the text of each column of a line."""
    texts = [""] * len(columns)
    for cell in line:
        at = max(range(len(columns)), key=lambda at: _shared((cell.x0, cell.x1), columns[at]))
        texts[at] = f"{texts[at]} {cell.text}".strip()
    return tuple(texts)


def _shared(cell: _Span, column: _Span) -> float:
    """Return the width that a cell and a column share; less than zero if they are apart."""
    return min(cell[1], column[1]) - max(cell[0], column[0])
