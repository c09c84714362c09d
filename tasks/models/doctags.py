"""DocTags, which Granite-Docling and SmolDocling write, as Markdown.

Source of the tags: docling-core, `docling_core/types/doc/tokens.py` (MIT). A table is OTSL: `fcel` a cell, `ecel` an
empty one, `ched` and `rhed` heads, `lcel`, `ucel` and `xcel` continue the cell to the left, above, or both, `nl` ends
a row. A place (`<loc_123>`) is dropped. Blocks whose end is missing end where the next one begins.
"""

import html
import re
from dataclasses import dataclass, field

from tasks.models.tables import markdown_table

_PLACE = re.compile(r"<loc_\d{1,4}>")
_HEADING = re.compile(r"section_header_level_(\d)")
_LEAVES = (
    r"title|section_header_level_\d|text|paragraph|caption|footnote|formula|code|page_header|page_footer|"
    r"checkbox_selected|checkbox_unselected"
)
_HOLDERS = r"doctag|ordered_list|unordered_list|list_item|otsl|picture|chart|inline|group"
_TAG = re.compile(rf"<(?P<end>/?)(?:(?P<leaf>{_LEAVES})|(?P<holder>{_HOLDERS}))>")
_CELL = re.compile(r"<(fcel|ecel|ched|rhed|srow|lcel|ucel|xcel|nl)>")
_LANGUAGE = re.compile(r"\A\s*<_([^<>]{1,40})_>")
_KIND_OF_PICTURE = re.compile(
    r"<(?:[a-z_]+_chart|chart|logo|signature|stamp|map|table|bar_code|qr_code|other|page_break)>"
)
_DEEPEST = 20
"""Nested lists; a deeper one is written as this deep."""


@dataclass(slots=True)
class _Block:
    tag: str
    text: list[str] = field(default_factory=list)
    blocks: list["_Block"] = field(default_factory=list)

    def plain(self) -> str:
        return " ".join(html.unescape(_KIND_OF_PICTURE.sub("", "".join(self.text))).split())


def doctags_to_markdown(text: str) -> str:
    """Return DocTags as Markdown; a text that is none (no `<doctag>`, no place) is returned as it is."""
    if "<doctag>" not in text and not _PLACE.search(text):
        return text
    lines: list[str] = []
    _write(_parse(_PLACE.sub("", text)), lines)
    return "\n\n".join(filter(None, lines)).strip()


def _parse(text: str) -> _Block:
    root = _Block("doctag")
    opened = [root]
    at = 0
    for tag in _TAG.finditer(text):
        _add_text(opened[-1], text[at : tag.start()])
        at = tag.end()
        name = tag["leaf"] or tag["holder"]
        if tag["end"]:
            # An end without a beginning says nothing.
            depth = next((depth for depth in range(len(opened) - 1, 0, -1) if opened[depth].tag == name), len(opened))
            del opened[depth:]
        elif opened[-1].tag == "code":
            opened[-1].text.append(tag[0])
        elif name != "doctag":
            if re.fullmatch(_LEAVES, opened[-1].tag):
                opened.pop()
            block = _Block(name)
            opened[-1].blocks.append(block)
            if len(opened) < 2 * _DEEPEST:
                opened.append(block)
    _add_text(opened[-1], text[at:])
    return root


def _add_text(block: _Block, text: str) -> None:
    """Add text to a block; what is loose between blocks becomes a block of its own."""
    if block.tag in {"doctag", "ordered_list", "unordered_list", "inline", "group"}:
        if text.strip():
            block.blocks.append(_Block("text", [text]))
    else:
        block.text.append(text)


def _write(block: _Block, lines: list[str]) -> None:
    """Add a block's paragraphs to `lines`."""
    tag = block.tag
    if tag in {"ordered_list", "unordered_list"}:
        lines.append("\n".join(_items(block, "")))
        return
    if tag == "code":
        language = _LANGUAGE.match(source := "".join(block.text))
        name = language[1].lower() if language and language[1] != "unknown" else ""
        body = html.unescape(source[language.end() if language else 0 :]).strip("\n")
        lines.append(f"```{name}\n{body}\n```")
        return
    captions = [inner for inner in block.blocks if inner.tag == "caption"]
    for caption in captions:
        _write(caption, lines)
    if tag == "otsl":
        lines.append(_table("".join(block.text)))
    else:
        lines.append(_line(tag, block.plain()))
    for inner in block.blocks:
        if inner.tag != "caption":
            _write(inner, lines)


def _line(tag: str, text: str) -> str:
    if not text:
        return ""
    if heading := _HEADING.fullmatch(tag):
        return f"{'#' * min(6, int(heading[1]) + 1)} {text}"
    marks = {"title": "# ", "list_item": "- ", "checkbox_selected": "- [x] ", "checkbox_unselected": "- [ ] "}
    return f"$${text}$$" if tag == "formula" else f"{marks.get(tag, '')}{text}"


def _items(block: _Block, indent: str) -> list[str]:
    """Return the lines of a list; a list within an item is indented."""
    lines, number = [], 0
    for item in block.blocks:
        number += item.tag == "list_item"
        mark = f"{number}." if block.tag == "ordered_list" else "-"
        inner = [item] if item.tag.endswith("_list") else item.blocks
        words = [item.plain(), *(each.plain() for each in inner if not each.tag.endswith("_list"))]
        if text := " ".join(filter(None, words)):
            lines.append(f"{indent}{mark} {text}")
        for each in inner:
            if each.tag.endswith("_list"):
                lines += _items(each, indent + " " * (len(mark) + 1))
    return lines


def _table(source: str) -> str:
    """Return a table. A cell that goes on is written again, so that every row can be read by itself."""
    first, *cells = _CELL.split(source)
    rows: list[list[str]] = [[]]
    for kind, text in zip(cells[::2], cells[1::2], strict=True):
        if kind == "nl":
            rows.append([])
            continue
        cell = " ".join(html.unescape(text).split()).replace("|", "\\|")
        row, above = rows[-1], rows[-2] if len(rows) > 1 else []
        if kind == "lcel" and row:
            cell = row[-1]
        elif kind in {"ucel", "xcel"} and len(row) < len(above):
            cell = above[len(row)]
        row.append(cell)
    rows = [row for row in rows if row]
    loose = " ".join(html.unescape(first).split())
    return "\n\n".join(filter(None, (loose, markdown_table(rows) if rows else "")))
