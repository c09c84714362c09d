"""A document's page tree: its pages as they are, whatever it says of their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pymupdf
from pymupdf import mupdf

_KINDS = {"Pages", "Page"}


@dataclass(frozen=True)
class PageTree:
    """The leaves of a page tree.

    Attributes:
        pages: the object number of each page; 0 if the tree names one there, and there is none.
        declared: how many pages the document says that it has.
    """

    pages: tuple[int, ...]
    declared: int

    @property
    def is_mended(self) -> bool:
        """Whether it does not count right, or names what is no page."""
        return 0 in self.pages or self.declared != len(self.pages)

    def index(self, number: int) -> int | None:
        """Where MuPDF has a page after `mended`, counted from 0; None if it has none."""
        if not 1 <= number <= len(self.pages):
            raise ValueError(f"the document has no page {number}")
        if not self.pages[number - 1]:
            return None
        return sum(map(bool, self.pages[: number - 1]))


def mended(pdf: pymupdf.Document, most: int) -> PageTree:
    """Read the page tree, and put it right in memory where it counts wrong or names what is no page.

    Args:
        pdf: an open document.
        most: pages to be read; one more is enough to tell that there are too many.
    """
    root = _key(_key(mupdf.pdf_trailer(_pdf(pdf)), "Root"), "Pages")
    declared = mupdf.pdf_to_int(_key(root, "Count"))
    pages: list[int] = []
    for leaf in _leaves(root):
        pages.append(leaf)
        if len(pages) > most:
            break
    tree = PageTree(tuple(pages), declared)
    if pages and mupdf.pdf_to_num(root) and len(pages) <= most and tree.is_mended:
        sound = [number for number in pages if number]
        number = mupdf.pdf_to_num(root)
        pdf.xref_set_key(number, "Kids", "[" + " ".join(f"{each} 0 R" for each in sound) + "]")
        pdf.xref_set_key(number, "Count", str(len(sound)))
    return tree


def _pdf(pdf: pymupdf.Document) -> Any:
    return mupdf.pdf_document_from_fz_document(pdf.this)


def _key(node: Any, name: str) -> Any:
    return mupdf.pdf_dict_gets(node, name)


def _leaves(root: Any) -> Iterator[int]:
    """The pages in order, each node of the tree once."""
    seen = {mupdf.pdf_to_num(root)}
    stack = [_kids(root)]
    while stack:
        node = next(stack[-1], None)
        if node is None:
            stack.pop()
            continue
        number = mupdf.pdf_to_num(node)
        if not mupdf.pdf_is_dict(node):
            yield 0
            continue
        kind = mupdf.pdf_to_name(_key(node, "Type"))
        if kind == "Pages" or (kind not in _KINDS and mupdf.pdf_is_array(_key(node, "Kids"))):
            if number not in seen:
                seen.add(number)
                stack.append(_kids(node))
        else:
            yield number if kind == "Page" or mupdf.pdf_is_array(_key(node, "MediaBox")) else 0


def _kids(node: Any) -> Iterator[Any]:
    kids = _key(node, "Kids")
    return (mupdf.pdf_array_get(kids, at) for at in range(mupdf.pdf_array_len(kids)))
