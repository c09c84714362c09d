"""Tables in HTML, as models write them: found in a text and taken apart, in time that grows with the text's length.

What is no tag is text: a cell may hold `p < 0.05`.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TAG = re.compile(r"<(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]*)(?P<attributes>(?:[\s/][^<>]*)?)>")
_TABLE = re.compile(r"<(?P<end>/?)table(?:[\s/][^<>]*)?>", re.IGNORECASE)
_SPAN = re.compile(r"\b(?P<name>rowspan|colspan)\s*=\s*[\"']?\s*(?P<count>\d{1,4})", re.IGNORECASE)
_TAG_IN_TEXT = re.compile(r"<(?=[a-zA-Z/!?][^<>]*>)")
_MOST_SPANNED = 1000
"""Rows or columns of one cell; more are a mistake, as HTML itself has it for columns."""
_STRUCTURE = frozenset({"thead", "tbody", "tfoot", "colgroup", "col", "span", "font", "center"})
_LINES = frozenset({"br", "p", "div", "ul", "ol", "li"})
_MARKS = {"b": "**", "strong": "**", "i": "*", "em": "*", "code": "`"}
_MOST_MARKS = 8
"""Nested emphasis that is understood."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its text as Markdown in one line, the rows and columns that it covers, and whether it is a heading."""

    text: str
    height: int = 1
    width: int = 1
    is_heading: bool = False


@dataclass(slots=True)
class HtmlTable:
    """A table.

    Attributes:
        rows: of cells.
        caption: its title, in one line.
        is_plain: whether Markdown can show it: no cell spans several places or holds a table, and no text is outside.
    """

    rows: list[list[Cell]] = field(default_factory=list)
    caption: str = ""
    is_plain: bool = True


def table_places(text: str) -> list[tuple[int, int]]:
    """Return where the outermost tables begin and end, in order. A table without an end is none."""
    opened: list[int] = []
    found: list[tuple[int, int]] = []
    for tag in _TABLE.finditer(text):
        if not tag["end"]:
            opened.append(tag.start())
        elif opened:
            start = opened.pop()
            while found and found[-1][0] > start:
                found.pop()
            found.append((start, tag.end()))
    return found


def parse_table(source: str) -> HtmlTable:
    """Return the table that a text is, from its first tag to its last."""
    parser = _Parser()
    for text, tag in _tokens(source):
        parser.add_text(text)
        if tag is not None:
            parser.add_tag(tag)
    parser.end_cell()
    return parser.table


def _tokens(source: str) -> Iterator[tuple[str, re.Match[str] | None]]:
    """Yield each tag with the text before it, and the text behind the last one."""
    at = 0
    for tag in _TAG.finditer(source):
        yield source[at : tag.start()], tag
        at = tag.end()
    yield source[at:], None


class _Parser:
    def __init__(self) -> None:
        self.table = HtmlTable()
        self._pieces: list[str] | None = None
        self._marks: list[tuple[str, int]] = []
        self._form = Cell("")
        self._is_caption = False
        self._is_head = False
        self._depth = 0

    def add_text(self, text: str) -> None:
        if self._depth > 1 and self._pieces is not None:
            self._pieces.append(text)
        elif self._pieces is not None:
            self._pieces.append(_TAG_IN_TEXT.sub("&lt;", html.unescape(text)).replace("\n", " "))
        elif text.strip():
            self.table.is_plain = False

    def add_tag(self, tag: re.Match[str]) -> None:
        name, ends = tag["name"].lower(), bool(tag["end"])
        if name == "table":
            self._depth += -1 if ends else 1
            self.table.is_plain &= self._depth <= 1
        if self._depth > 1 or (name == "table" and self._depth == 1 and ends):
            self.add_text(tag[0])
        elif name in {"td", "th", "caption", "tr", "table"}:
            self.end_cell()
            if ends:
                return
            if name == "tr":
                self.table.rows.append([])
            elif name != "table":
                self._begin_cell(name, tag["attributes"])
        elif name == "thead":
            self.end_cell()
            self._is_head = not ends
        elif self._pieces is None:
            self.table.is_plain &= name in _STRUCTURE
        elif name in _LINES:
            self._pieces.append("\n")
        elif name in _MARKS:
            self._mark(_MARKS[name], ends=ends)
        elif name not in _STRUCTURE:
            self._pieces.append(tag[0])

    def _begin_cell(self, name: str, attributes: str) -> None:
        self._pieces, self._marks, self._is_caption = [], [], name == "caption"
        spans = {span["name"].lower(): int(span["count"]) for span in _SPAN.finditer(attributes)}
        # Of no rows at all means, in HTML, of all that follow.
        height, width = spans.get("rowspan", 1) or _MOST_SPANNED, spans.get("colspan", 1) or 1
        self._form = Cell("", min(height, _MOST_SPANNED), min(width, _MOST_SPANNED), name == "th" or self._is_head)

    def _mark(self, mark: str, *, ends: bool) -> None:
        """Begin or end emphasis. Markdown wants its marks beside a word, and none around nothing."""
        assert self._pieces is not None  # noqa: S101 - the caller has seen to it
        if not ends:
            if len(self._marks) < _MOST_MARKS:
                self._marks.append((mark, len(self._pieces)))
            return
        if not self._marks or self._marks[-1][0] != mark:
            return
        _, at = self._marks.pop()
        inner = "".join(self._pieces[at:])
        text = inner.strip()
        if text and "\n" not in text:
            start = inner.index(text)
            self._pieces[at:] = [inner[:start], mark, text, mark, inner[start + len(text) :]]

    def end_cell(self) -> None:
        """Add the cell or caption that is open, if one is."""
        if self._pieces is None:
            return
        lines = (" ".join(line.split()) for line in "".join(self._pieces).split("\n"))
        text = "<br>".join(filter(None, lines))
        self._pieces = None
        if self._is_caption:
            self.table.caption = text.replace("<br>", " ")
            return
        if not self.table.rows:
            self.table.rows.append([])
        form = self._form
        self.table.rows[-1].append(Cell(text, form.height, form.width, form.is_heading))
        self.table.is_plain &= form.height == form.width == 1
