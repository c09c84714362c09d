"""Tables as HTML and as Markdown: from the one to the other where nothing is lost."""

import html
import re
from collections.abc import Sequence

from tasks.models.html_table import parse_table, table_places
from tasks.models.prose import map_prose
from tasks.text.markdown import table

_RULE = re.compile(r":?-+:?")
_PIPE = re.compile(r"(?<!\\)\|")
_LOOSE = re.compile(r"&(?!(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]\w{1,31});)|<(?!/?(?:br|sub|sup|u|s|b|i)\b[^<>]*>)")
_LEAST_CELLS = 1000
_MOST_PADDED = 4
"""A table whose rows are so uneven that it would grow more than this many times stays as it is."""


def html_tables_to_markdown(text: str) -> str:
    """Write each HTML table outside of code as Markdown if nothing would be lost; others stay as they are."""
    return map_prose(text, _to_markdown)


def markdown_tables_to_html(text: str) -> str:
    """Write each Markdown table outside of code as HTML; its first row is its head."""
    return map_prose(text, _to_html)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as a Markdown table, the first row as its head. Short rows are filled up."""
    width = max(map(len, rows))
    head, *body = ([*row, *[""] * (width - len(row))] for row in rows)
    return "\n".join(table(head, body))


def row_cells(line: str) -> list[str]:
    """Return the cells of a line of a Markdown table."""
    cells = _PIPE.split(line.strip())
    inner = cells[not cells[0] : len(cells) - (len(cells) > 1 and not cells[-1])]
    return [cell.strip().replace("\\|", "|") for cell in inner]


def markdown_tables(lines: Sequence[str]) -> list[tuple[int, int]]:
    """Return where the Markdown tables among lines begin and end: a head, a rule as wide, and rows."""
    found, at = [], 1
    while at < len(lines):
        if not (_is_rule(lines[at]) and _is_row(lines[at - 1]) and _width(lines[at]) == _width(lines[at - 1])):
            at += 1
            continue
        start = at - 1
        at += 1
        while at < len(lines) and _is_row(lines[at]):
            at += 1
        found.append((start, at))
        at += 1
    return found


def _to_markdown(text: str) -> str:
    parts, at = list[str](), 0
    for start, end in table_places(text):
        written = _markdown(text[start:end])
        if written is None:
            continue
        before, after = text[at:start].rstrip(" \t"), text[end:]
        parts += [before, "\n" * _missing(before[-2:][::-1]) if before else "", written]
        parts.append("\n" * _missing(after[:2]) if after.strip() else "")
        at = end
    return "".join([*parts, text[at:]])


def _missing(beside: str) -> int:
    """Return the line ends that are missing between a table and the text beside it: two are needed."""
    return 2 - len(beside) + len(beside.lstrip("\n"))


def _markdown(source: str) -> str | None:
    """Return a table as Markdown; None if that would lose something."""
    parsed = parse_table(source)
    rows = [[cell.text.replace("|", "\\|") for cell in row] for row in parsed.rows if row]
    cells = sum(map(len, rows))
    if not parsed.is_plain or not rows or len(rows) * max(map(len, rows)) > _MOST_PADDED * cells + _LEAST_CELLS:
        return None
    caption = f"{parsed.caption}\n\n" if parsed.caption else ""
    return f"{caption}{markdown_table(rows)}"


def _to_html(text: str) -> str:
    lines = text.split("\n")
    written, at = list[str](), 0
    for start, end in markdown_tables(lines):
        rows = [row_cells(line) for place, line in enumerate(lines[start:end]) if place != 1]
        written += [
            *lines[at:start],
            "<table>",
            *(_row(row, "td" if place else "th") for place, row in enumerate(rows)),
        ]
        written.append("</table>")
        at = end
    return "\n".join([*written, *lines[at:]])


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{_LOOSE.sub(_escaped, cell)}</{tag}>" for cell in cells) + "</tr>"


def _escaped(match: re.Match[str]) -> str:
    return html.escape(match[0])


def _is_row(line: str) -> bool:
    return line.lstrip().startswith("|") and line.rstrip().endswith("|") and len(line.strip()) > 1


def _is_rule(line: str) -> bool:
    return _is_row(line) and all(_RULE.fullmatch(cell) for cell in row_cells(line))


def _width(line: str) -> int:
    return len(row_cells(line))
