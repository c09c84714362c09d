"""Lines as Markdown: headings by the size of their print, lists, paragraphs without hyphenation, and tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from statistics import median

from tasks.documents.sandbox.layer.alignments import aligned_tables, parts
from tasks.documents.sandbox.layer.lines import Line
from tasks.documents.sandbox.layer.order import Row, columns
from tasks.documents.sandbox.layer.tables import Table

_LARGER, _MOST_LEVELS, _LONGEST_HEADING = 1.15, 3, 200
_BULLET = re.compile(
    r"^(?:[\u2022\u2023\u25a0\u25aa\u25cf\u25e6\u25cb\u2043\u2219\uf0b7\uf0a7\uf0d8\uf0fc\u00b7\u2013-]|o(?= \w{2})) +"
)
_NUMBER = re.compile(r"^(?:\(?\d{1,3}[.)]|\[\d{1,3}\]|\(?[a-z][.)]) +\S")
_HYPHEN = re.compile(r"(?:^|[\s(])[^\W\d_]+[-\u2010\u00ad]$")
_HYPHENS = ("-", "\u2010")
_SOFT = "\u00ad"
_TIGHT = 0.75
_INDENT = 0.8
# Parts of a row that make it one of a table, and not a running header.
_CELLS = 3
_CJK = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff60]")


def markdown(
    upright: Sequence[Line], turned: Sequence[Line], tables: Sequence[Table], words: Callable[[], Sequence[Line]]
) -> str:
    """Return a page as Markdown: its upright lines in reading order with its tables, then the turned ones.

    Args:
        upright: lines.
        turned: lines in another direction than most.
        tables: between rules.
        words: returns the words of the upright page, by which other tables are found.
    """
    free = [line for line in upright if not any(table.holds(line) for table in tables)]
    ordered = columns(free)
    if aligned := [table for column in ordered for table in aligned_tables(column, words)]:
        tables = [*tables, *aligned]
        free = [line for line in free if not any(table.holds(line) for table in aligned)]
    marks = {Line(*table.box, f"\0{at}\0", 0.0): table for at, table in enumerate(tables)}
    levels = _levels(free)
    if tables:
        ordered = columns([*free, *_marked(marks, free)])
    blocks = [block for column in ordered for block in _blocks(column, levels, marks)]
    blocks += [_escaped(line.text.strip()) for line in turned]
    return "\n\n".join(filter(None, blocks)).replace(_SOFT, "")


def _marked(marks: dict[Line, Table], lines: Sequence[Line]) -> list[Line]:
    """Return tables as lines of the common size, so that they take part in the order."""
    size = median([line.size for line in lines]) if lines else 10.0
    found = {Line(mark.x0, mark.y0, mark.x1, mark.y1, mark.text, size): table for mark, table in marks.items()}
    marks.clear()
    marks.update(found)
    return list(found)


def _levels(lines: Sequence[Line]) -> dict[float, int]:
    """Return the levels of headings by their sizes, which are larger than that of most of the text."""
    sizes: Counter[float] = Counter()
    for line in lines:
        sizes[round(line.size, 1)] += len(line.text)
    if not sizes:
        return {}
    body = max(sizes, key=lambda size: (sizes[size], -size))
    larger = sorted((size for size in sizes if size >= body * _LARGER), reverse=True)
    return {size: min(level, _MOST_LEVELS) for level, size in enumerate(larger, 1)}


def _blocks(column: Sequence[Row], levels: dict[float, int], marks: dict[Line, Table]) -> Iterator[str]:
    """Yield the paragraphs, headings, lists and tables of a column."""
    paragraph: list[Row] = []
    spacing = _spacing(column)
    for row in column:
        table = next((marks[cell] for cell in row.cells if cell in marks), None)
        if table is not None or (paragraph and _begins(paragraph[-1], row, spacing)):
            yield _block(paragraph, levels)
            paragraph = []
        if table is None:
            paragraph.append(row)
            continue
        # What stands beside a table is in its row.
        beside = tuple(cell for cell in row.cells if cell not in marks)
        yield _block([Row(beside)], levels) if beside else ""
        yield _table(table)
    yield _block(paragraph, levels)


def _spacing(column: Sequence[Row]) -> float:
    """Return the common distance of two lines, from lower edge to lower edge, in sizes of their print."""
    steps = [(after.base - before.base) / max(after.size, 0.1) for before, after in pairwise(column)]
    near = [step for step in steps if 0 < step < 2.5]
    return median(near) if near else 1.3


def _begins(before: Row, row: Row, spacing: float) -> bool:
    """Return whether a row begins another paragraph than the row before it."""
    if abs(before.size - row.size) > 0.1 * max(before.size, row.size) or before.bold is not row.bold:
        return True
    if row.base - before.base > (spacing + 0.35) * row.size or row.base < before.base - row.size:
        return True
    if _BULLET.match(row.text) or _NUMBER.match(row.text) or _is_tabular(before) or _is_tabular(row):
        return True
    # An indented first line, unless it hangs below a bullet or a number.
    hanging = bool(_BULLET.match(before.text) or _NUMBER.match(before.text))
    return row.x0 - before.x0 > _INDENT * row.size and not hanging


def _is_tabular(row: Row) -> bool:
    return len(parts(row)) > 1


def _block(paragraph: Sequence[Row], levels: dict[float, int]) -> str:
    if not paragraph:
        return ""
    if len(cells := parts(paragraph[0])) >= _CELLS:
        return " | ".join(cell.text for cell in cells)  # or `33 003` beside `33 461` would read as one number
    text = _joined([row.text for row in paragraph])
    level = levels.get(round(paragraph[0].size, 1))
    if level and len(text) <= _LONGEST_HEADING and any(map(str.isalpha, text)):
        return f"{'#' * level} {text}"
    if _BULLET.match(text):
        return _BULLET.sub("- ", text)
    return _escaped(text)


def _joined(lines: Sequence[str]) -> str:
    """Join the lines of a paragraph, without the hyphens of words that were divided."""
    parts = [lines[0]]
    for line in lines[1:]:
        last = parts[-1]
        if last.endswith(_SOFT) or (last.endswith(_HYPHENS) and line[:1].islower() and _HYPHEN.search(last)):
            parts[-1] = last[:-1]
        elif not (last.endswith(_HYPHENS) or (_CJK.match(last[-1:]) and _CJK.match(line))):
            parts.append(" ")
        parts.append(line)
    return "".join(parts)


def _escaped(text: str) -> str:
    """Return a paragraph that does not look like a heading."""
    return f"\\{text}" if text.startswith("#") else text


def _table(table: Table) -> str:
    head, *body = ([cell.replace("|", "\\|") for cell in row] for row in table.cells)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
