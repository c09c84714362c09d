"""A document's page tree: its pages as they are, whatever it says of their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import pymupdf

from tasks.documents.sandbox.pdf_objects import PdfObject


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
    root = PdfObject.trailer(pdf)["Root"]["Pages"]
    tree = PageTree(tuple(islice(_leaves(root), most + 1)), root["Count"].integer)
    if tree.pages and root.number and len(tree.pages) <= most and tree.is_mended:
        sound = [number for number in tree.pages if number]
        pdf.xref_set_key(root.number, "Kids", "[" + " ".join(f"{number} 0 R" for number in sound) + "]")
        pdf.xref_set_key(root.number, "Count", str(len(sound)))
    return tree


def _leaves(root: PdfObject) -> Iterator[int]:
    """The pages in order, each node of the tree once."""
    seen = {root.number}
    stack = [root["Kids"].items()]
    while stack:
        node = next(stack[-1], None)
        if node is None:
            stack.pop()
        elif not _has_kids(node):
            yield node.number if _is_page(node) else 0
        elif node.number not in seen:
            seen.add(node.number)
            stack.append(node["Kids"].items())


def _has_kids(node: PdfObject) -> bool:
    kind = node["Type"].name
    return node.is_dict and (kind == "Pages" or (kind != "Page" and node["Kids"].is_array))


def _is_page(node: PdfObject) -> bool:
    return node.is_dict and (node["Type"].name == "Page" or node["MediaBox"].is_array)
