"""The text of a page, from its lines: its paragraphs, and its tables of numbers as Markdown. Pure.

Tesseract marks where a table stands, but often leaves its heading, its first row or its last column to other blocks. A
block belongs to the table if its lines stand in the table's rows, or follow them in its columns.
"""

from collections.abc import Collection, Sequence
from itertools import groupby, pairwise
from statistics import median

from tasks.embedded.lines import Line, joined
from tasks.embedded.tables import Word, cells_of, columns_of, markdown_table, rows_of

LEVEL = 0.5
"""Largest distance of the middles of a line and of the row in which it stands, in heights of a word."""
NEXT_ROW = 1.6
"""Largest distance of a line from a row that it follows, in usual distances of two rows."""
MOST_WORDS = 3
"""Words of a line, on average, in a column of labels beside a table. Those of prose have more."""


def text_of(lines: Sequence[Line]) -> str:
    """Return the text of the lines of a page, in their order."""
    blocks = [list(block) for _, block in groupby(lines, key=lambda line: line.block)]
    tables, parts = dict[int, str](), set[int]()
    for at, block in enumerate(blocks):
        if block[0].is_table and at not in parts:
            for members in (_whole_table(blocks, at, parts), {at}):
                if table := markdown_table([word for member in members for word in _words(blocks[member])]):
                    tables[min(members)] = table
                    parts |= members
                    break
    return joined(
        line
        for at, block in enumerate(blocks)
        for line in (block if at not in parts else [_as_line(tables[at], block)] if at in tables else [])
    )


def _as_line(table: str, block: Sequence[Line]) -> Line:
    return Line(Word(table, *block[0].block), begins=True)


def _words(block: Sequence[Line]) -> list[Word]:
    return [word for line in block for word in line.words]


def _whole_table(blocks: Sequence[Sequence[Line]], table: int, taken: Collection[int]) -> set[int]:
    """Return the blocks that are one table with a part of it."""
    members = {table}
    while True:
        words = [word for member in members for word in _words(blocks[member])]
        rows = _Rows(words)
        more = {at for at, block in enumerate(blocks) if at not in members and at not in taken and rows.go_on_in(block)}
        if not more:
            return members
        members |= more


class _Rows:
    """The rows of a part of a table."""

    def __init__(self, words: Sequence[Word]) -> None:
        self._height = median(word.height for word in words)
        self._rows = rows_of(words, self._height)
        self._middles = [median(word.middle for word in row) for row in self._rows]
        self._distance = median([after - before for before, after in pairwise(self._middles)] or [0.0])
        self._columns = columns_of([cells_of(row, self._height) for row in self._rows])

    def go_on_in(self, block: Sequence[Line]) -> bool:
        """Return whether the lines of a block are cells of these rows, or rows that follow them."""
        lines = [line.words for line in block if line.words]
        if not lines or not all(map(self._is_near, lines)):
            return False
        beside = [self._is_beside(line) for line in lines if self._row_of(line) is not None]
        if beside:
            return all(beside) and 2 * len(beside) >= len(lines) and _are_cells(lines)
        return all(map(self._has_columns, lines))

    def _row_of(self, line: Sequence[Word]) -> list[Word] | None:
        away, row = min((abs(middle - _middle(line)), at) for at, middle in enumerate(self._middles))
        return self._rows[row] if away < LEVEL * self._height else None

    def _is_near(self, line: Sequence[Word]) -> bool:
        return min(abs(middle - _middle(line)) for middle in self._middles) <= NEXT_ROW * self._distance

    def _is_beside(self, line: Sequence[Word]) -> bool:
        row = self._row_of(line) or []
        return not any(word.left < other.right and other.left < word.right for word in line for other in row)

    def _has_columns(self, line: Sequence[Word]) -> bool:
        """Return whether a line has several cells, each in a column of its own."""
        cells = cells_of(line, self._height)
        shared = [
            [at for at, (left, right) in enumerate(self._columns) if cell.left < right and left < cell.right]
            for cell in cells
        ]
        columns = {column for at in shared for column in at}
        return len(cells) > 1 and all(len(at) == 1 for at in shared) and len(columns) == len(cells)


def _middle(line: Sequence[Word]) -> float:
    return median(word.middle for word in line)


def _are_cells(lines: Sequence[Sequence[Word]]) -> bool:
    """Return whether lines are numbers or labels, and not prose."""
    words = [word for line in lines for word in line]
    numbers = sum(any(map(str.isdigit, word.text)) for word in words)
    return len(words) <= MOST_WORDS * len(lines) or 2 * numbers >= len(words)
