"""Tables of numbers, from where their words stand. Pure.

Tesseract finds the tables of a page, and writes each row as a line, in which the columns are lost. They are found here,
by the gaps that all rows share.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median
from typing import TypeAlias

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""

LEAST_ROWS, LEAST_COLUMNS = 3, 3
LEAST_NUMBERS = 0.5
"""Part of the cells beside the first column that have a digit: columns of prose look like a table, too."""
LEAST_FILLED = 0.6
"""Part of all cells that have a text."""
CELL_GAP = 1.0
"""Space between two words of different cells, in heights of a word; between words of one cell there is less."""
CROSSING = 0.1
"""Part of the rows that may cross a gap between columns, beside those of a single cell, as headings are."""
CURRENCIES = frozenset("$€£¥")


@dataclass(frozen=True, slots=True)
class Word:
    """A word, or a cell of several, with its box in pixels."""

    text: str
    left: int
    top: int
    right: int
    bottom: int

    @property
    def height(self) -> int:
        """Its height."""
        return self.bottom - self.top

    @property
    def middle(self) -> float:
        """The middle of its height."""
        return (self.top + self.bottom) / 2


def markdown_table(words: Sequence[Word]) -> str | None:
    """Return a table of numbers as Markdown, after the lines above it; None if it is none."""
    height = median(word.height for word in words) if words else 0.0
    rows = [cells_of(row, height) for row in rows_of(words, height)]
    columns = columns_of([row for row in rows if len(row) > 1])
    if len(rows) < LEAST_ROWS or len(columns) < LEAST_COLUMNS or not _has_numbers(rows, columns):
        return None
    texts = [_texts(row, columns) for row in rows]
    if sum(map(_filled, texts)) < LEAST_FILLED * len(rows) * len(columns):
        return None
    begin = next((at for at, row in enumerate(texts) if row[0] and _filled(row) > 1), 0)
    above = [" ".join(filter(None, row)) for row in texts[:begin] if _filled(row) == 1]
    heads = [row for row in texts[:begin] if _filled(row) > 1] or [texts[begin]]
    head = [" ".join(filter(None, column)) for column in zip(*heads, strict=True)]
    body = texts[begin + (heads[-1] is texts[begin]) :]
    table = [_line(head), _line(["---"] * len(columns)), *map(_line, body)]
    return "\n".join([*above, *([""] if above else []), *table])


def rows_of(words: Sequence[Word], height: float) -> list[list[Word]]:
    """Return the words of each row, from the top and from the left."""
    rows: list[list[Word]] = []
    for word in sorted(words, key=lambda word: word.middle):
        if rows and word.middle - median(each.middle for each in rows[-1]) < height * 0.6:
            rows[-1].append(word)
        else:
            rows.append([word])
    return [sorted(row, key=lambda word: word.left) for row in rows]


def cells_of(row: Sequence[Word], height: float) -> list[Word]:
    """Join the words of a row that belong to one cell; a currency belongs to the amount after it."""
    cells: list[Word] = []
    for word in row:
        last = cells[-1] if cells else None
        if last and (word.left - last.right < height * CELL_GAP or last.text in CURRENCIES):
            box = (last.left, min(last.top, word.top), max(last.right, word.right), max(last.bottom, word.bottom))
            cells[-1] = Word(f"{last.text} {word.text}", *box)
        else:
            cells.append(word)
    return cells


def columns_of(rows: Sequence[Sequence[Word]]) -> list[tuple[int, int]]:
    """Return where each column begins and ends: where more rows have ink than may cross a gap."""
    cells = [cell for row in rows for cell in row]
    covered = [0] * (max((cell.right for cell in cells), default=0) + 1)
    for cell in cells:
        for x in range(cell.left, cell.right):
            covered[x] += 1
    inked = groupby(range(len(covered)), key=lambda x: covered[x] > CROSSING * len(rows))
    runs = [list(run) for has_ink, run in inked if has_ink]
    return [(run[0], run[-1] + 1) for run in runs]


def _has_numbers(rows: Sequence[Sequence[Word]], columns: Sequence[tuple[int, int]]) -> bool:
    cells = [cell for row in rows for cell in row if cell.left >= columns[0][1]]
    return sum(any(map(str.isdigit, cell.text)) for cell in cells) >= LEAST_NUMBERS * max(1, len(cells))


def _texts(row: Sequence[Word], columns: Sequence[tuple[int, int]]) -> list[str]:
    """Return the text of a row in each column: a cell is in the one that it shares most with."""
    texts: list[list[str]] = [[] for _ in columns]
    for cell in row:
        shared = [min(cell.right, right) - max(cell.left, left) for left, right in columns]
        texts[shared.index(max(shared))].append(cell.text)
    return [" ".join(parts) for parts in texts]


def _filled(row: Sequence[str]) -> int:
    return sum(map(bool, row))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
