"""DocTags, which Granite-Docling and SmolDocling write, as Markdown.

Source of the tags: docling-core, `docling_core/types/doc/tokens.py` (MIT). A table is OTSL: `fcel` a cell, `ecel` an
empty one, `ched` and `rhed` heads, `lcel`, `ucel` and `xcel` continue the cell to the left, above, or both, `nl` ends
a row. A place (`<loc_123>`) is dropped.
"""

import html
import re

from tasks.models.tables import markdown_table

_LOCATION = re.compile(r"<loc_\d{1,4}>")
_BLOCK = re.compile(
    r"<(?P<tag>title|section_header_level_\d|text|paragraph|caption|footnote|list_item|formula|code|otsl|picture|chart|"
    r"page_header|page_footer|checkbox_selected|checkbox_unselected)>(?P<inner>.*?)</(?P=tag)>",
    re.DOTALL,
)
_LIST = re.compile(r"<(?P<tag>ordered_list|unordered_list)>(?P<inner>.*?)</(?P=tag)>", re.DOTALL)
_ITEM = re.compile(r"<list_item>(.*?)</list_item>", re.DOTALL)
_CELL = re.compile(r"<(fcel|ecel|ched|rhed|srow|lcel|ucel|xcel|nl)>([^<]*)")
_CAPTION = re.compile(r"<caption>(.*?)</caption>", re.DOTALL)
_LANGUAGE = re.compile(r"\A<_([^>]+)_>")
_TAG = re.compile(r"</?[a-z_]+\d?>|<_[^>]+_>")


def doctags_to_markdown(text: str) -> str:
    """Return DocTags as Markdown; a text that has none is returned as it is."""
    if "<doctag>" not in text and not _BLOCK.search(text):
        return text
    body = _LOCATION.sub("", text).replace("<doctag>", "").replace("</doctag>", "")
    body = _LIST.sub(_list, body)
    return re.sub(r"\n{3,}", "\n\n", _TAG.sub("", _BLOCK.sub(_block, body))).strip()


def _list(match: re.Match[str]) -> str:
    ordered = match["tag"] == "ordered_list"
    items = (
        f"{number}. {_plain(item)}" if ordered else f"- {_plain(item)}"
        for number, item in enumerate(_ITEM.findall(match["inner"]), 1)
    )
    return "\n" + "\n".join(items) + "\n\n"


def _block(match: re.Match[str]) -> str:
    tag, inner = match["tag"], match["inner"]
    if tag == "otsl":
        written = _table(inner)
    elif tag == "title":
        written = f"# {_plain(inner)}"
    elif tag.startswith("section_header_level_"):
        written = f"{'#' * (int(tag[-1]) + 1)} {_plain(inner)}"
    elif tag == "list_item":
        written = f"- {_plain(inner)}"
    elif tag == "formula":
        written = f"$${_plain(inner)}$$"
    elif tag == "code":
        language = _LANGUAGE.match(inner)
        name = language[1].lower() if language and language[1] != "unknown" else ""
        written = f"```{name}\n{html.unescape(inner[language.end() if language else 0 :]).strip()}\n```"
    elif tag in {"picture", "chart"}:
        written = "\n\n".join(_plain(caption) for caption in _CAPTION.findall(inner))
    elif tag.startswith("checkbox_"):
        written = f"- [{'x' if tag == 'checkbox_selected' else ' '}] {_plain(inner)}"
    else:
        written = _plain(inner)
    return f"\n{written}\n\n"


def _plain(text: str) -> str:
    return " ".join(html.unescape(_TAG.sub("", text)).split())


def _table(inner: str) -> str:
    captions = [_plain(caption) for caption in _CAPTION.findall(inner)]
    rows: list[list[str]] = [[]]
    for kind, text in _CELL.findall(_CAPTION.sub("", inner)):
        if kind == "nl":
            rows.append([])
        else:  # a cell that goes on is written again, so that every row can be read by itself
            cell = _plain(text).replace("|", "\\|")
            row, above = rows[-1], rows[-2] if len(rows) > 1 else []
            if kind == "lcel" and row:
                cell = row[-1]
            elif kind in {"ucel", "xcel"} and len(row) < len(above):
                cell = above[len(row)]
            row.append(cell)
    rows = [row for row in rows if row]
    return "\n\n".join([*captions, markdown_table(rows)] if rows else captions)
