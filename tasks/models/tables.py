"""Tables as HTML and as Markdown: from the one to the other where nothing is lost."""

import html
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from itertools import product

_TABLE = re.compile(r"<table\b[^>]*>.*?</table\s*>", re.DOTALL | re.IGNORECASE)
_MARKDOWN_TABLE = re.compile(
    r"^(?P<head>[ \t]*\|.+\|)[ \t]*\n[ \t]*\|(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*(?P<body>(?:\n[ \t]*\|.*\|[ \t]*)*)$",
    re.MULTILINE,
)
_CELL = re.compile(r"(?<!\\)\|")
_ENDS_LINE = frozenset({"br", "p", "div", "li"})
_MOST_SPANNED = 100
"""Rows or columns of one cell."""
_KEPT = frozenset({"b", "strong", "i", "em", "sub", "sup", "u", "s", "code"})
"""Tags within a cell that Markdown has, or shows as HTML."""
_BOLD = {"b": "**", "strong": "**", "i": "*", "em": "*", "code": "`"}


def html_tables_to_markdown(text: str) -> str:
    """Write each HTML table as Markdown if no cell spans rows or columns; others stay as they are."""
    return _TABLE.sub(lambda match: _markdown(match[0]) or match[0], text)


def markdown_tables_to_html(text: str) -> str:
    """Write each Markdown table as HTML; its first row is its head."""

    def table(match: re.Match[str]) -> str:
        rows = [_cells(match["head"]), *(_cells(line) for line in match["body"].split("\n") if line.strip())]
        lines = []
        for place, row in enumerate(rows):
            tag = "td" if place else "th"
            lines.append("<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>")
        return "<table>\n" + "\n".join(lines) + "\n</table>"

    return _MARKDOWN_TABLE.sub(table, text)


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.strip().replace("\\|", "|") for cell in _CELL.split(inner)]


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as a Markdown table, the first row as its head. Short rows are filled up."""
    width = max(map(len, rows), default=0)
    lines = [[*row, *[""] * (width - len(row))] for row in rows]
    lines.insert(1, ["---"] * width)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown(table: str) -> str | None:
    """Return a table as Markdown; None if that would lose something."""
    parser = _TableParser()
    try:
        parser.feed(table)
        parser.close()
    except AssertionError:  # html.parser's word for markup that it cannot take apart
        return None
    rows = [row for row in parser.rows if row]
    if parser.spans or not rows:
        return None
    caption = f"{parser.caption}\n\n" if parser.caption else ""
    return f"{caption}{markdown_table(rows)}"


def _span(value: str | None) -> int:
    return min(int(value), _MOST_SPANNED) if value and value.isascii() and value.isdigit() and int(value) else 1


class _TableParser(HTMLParser):
    """Collects the cells of one table.

    Attributes:
        rows: of cells, in Markdown.
        spans: a cell spans several rows or columns, or holds a table: Markdown cannot say so.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[list[str]] = []
        self.spans = False
        self._sizes: list[list[tuple[int, int]]] = []
        self._size = (1, 1)
        self._caption: list[str] = []
        self._cell: list[str] | None = None
        self._tables = 0

    @property
    def caption(self) -> str:
        """The table's title, in one line."""
        return " ".join("".join(self._caption).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a row or a cell."""
        if tag == "table":
            self._tables += 1
            self.spans |= self._tables > 1
        elif tag == "tr":
            self._end_cell()
            self._begin_row()
        elif tag in {"td", "th"}:
            self._end_cell()
            self._cell = []
            named = dict(attrs)
            self._size = (_span(named.get("rowspan")), _span(named.get("colspan")))
            self.spans |= self._size != (1, 1)
        elif tag == "caption":
            self._cell = self._caption
        elif self._cell is not None:
            self._add_tag(tag, f"<{tag}>")

    def handle_endtag(self, tag: str) -> None:
        """Close a row or a cell."""
        if tag in {"td", "th", "tr", "caption", "table"}:
            self._end_cell()
        elif self._cell is not None and tag not in _ENDS_LINE:
            self._add_tag(tag, f"</{tag}>")

    def handle_data(self, data: str) -> None:
        """Take in text of a cell."""
        if self._cell is not None:
            self._cell.append(data)

    def grid(self) -> list[list[str]]:
        """Return the rows with a cell in each place that it covers."""
        places: dict[tuple[int, int], str] = {}
        for down, (row, sizes) in enumerate(zip(self.rows, self._sizes, strict=True)):
            across = 0
            for cell, (height, width) in zip(row, sizes, strict=True):
                while (down, across) in places:
                    across += 1
                for below, beside in product(range(min(height, len(self.rows) - down)), range(width)):
                    places[down + below, across + beside] = cell
        width = max((across for _, across in places), default=-1) + 1
        return [[places.get((down, across), "") for across in range(width)] for down in range(len(self.rows))]

    def _begin_row(self) -> None:
        self.rows.append([])
        self._sizes.append([])

    def _add_tag(self, tag: str, written: str) -> None:
        if self._cell is None:
            return
        if tag in _ENDS_LINE:
            self._cell.append("<br>" if "".join(self._cell).strip() else "")
        elif tag in _BOLD:
            self._cell.append(_BOLD[tag])
        elif tag in _KEPT:
            self._cell.append(written)

    def _end_cell(self) -> None:
        cell, self._cell = self._cell, None
        if cell is None or cell is self._caption:
            return
        if not self.rows:
            self._begin_row()
        self._sizes[-1].append(self._size)
        text = " ".join("".join(cell).split()).removesuffix("<br>").strip()
        self.rows[-1].append(text.replace("|", "\\|"))


def table_grids(text: str) -> list[list[list[str]]]:
    """Return the tables of a text, HTML and Markdown, each as rows of cells.

    A cell that spans rows or columns is repeated in each place that it covers, up to `_MOST_SPANNED`.
    """
    html_text = markdown_tables_to_html(_TABLE.sub("", text))
    grids = []
    for match in [*_TABLE.finditer(text), *_TABLE.finditer(html_text)]:
        parser = _TableParser()
        parser.feed(match[0])
        parser.close()
        if parser.rows:
            grids.append(parser.grid())
    return grids
