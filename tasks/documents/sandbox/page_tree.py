"""A document's page tree and page boxes, repaired where they are wrong."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import pymupdf

from tasks.documents.sandbox.pdf_objects import PdfObject


@dataclass(frozen=True)
class PageTree:
    """The leaves of a page tree.

    Attributes:
        pages: the object number of each page; 0 where the tree refers to no page.
        declared: the number of pages that the document declares.
    """

    pages: tuple[int, ...]
    declared: int

    @property
    def was_repaired(self) -> bool:
        """Whether the tree needed repair: it counts wrong, or refers to an object that is not a page."""
        return 0 in self.pages or self.declared != len(self.pages)

    def index(self, number: int) -> int | None:
        """Return MuPDF's index of a page after the repair, counted from 0; None if it has none."""
        if not 1 <= number <= len(self.pages):
            raise ValueError(f"the document has no page {number}")
        if not self.pages[number - 1]:
            return None
        return sum(map(bool, self.pages[: number - 1]))


def repair_page_tree(pdf: pymupdf.Document, most: int) -> PageTree:
    """Return the page tree, repaired in memory.

    Args:
        pdf: an open document.
        most: maximum number of pages; one more is enough to know that there are too many.
    """
    root = PdfObject.trailer(pdf)["Root"]["Pages"]
    tree = PageTree(tuple(islice(_leaves(root), most + 1)), root["Count"].integer)
    if tree.pages and root.number and len(tree.pages) <= most and tree.was_repaired:
        sound = [number for number in tree.pages if number]
        pdf.xref_set_key(root.number, "Kids", "[" + " ".join(f"{number} 0 R" for number in sound) + "]")
        pdf.xref_set_key(root.number, "Count", str(len(sound)))
    return tree


def _leaves(root: PdfObject) -> Iterator[int]:
    """Yield the pages in order, visiting each node once."""
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


def repair_boxes(pdf: pymupdf.Document, page: pymupdf.Page) -> tuple[pymupdf.Page, str]:
    """Replace a crop box that shows nothing of the page by the media box.

    Returns:
        The page, reloaded if it was changed, and the problem of its boxes; empty if there is none.
    """
    media, crop = (_inherited_box(pdf, page.xref, key) for key in ("MediaBox", "CropBox"))
    if media is None or media.is_empty:
        return page, "It declares no usable size; US Letter is assumed."
    if crop is None or not (crop & media).is_empty:
        return page, ""
    pdf.xref_set_key(page.xref, "CropBox", "[" + " ".join(f"{number:g}" for number in media) + "]")
    return pdf.reload_page(page), "Its crop box shows nothing of it; the whole page was read."


def _inherited_box(pdf: pymupdf.Document, xref: int, key: str) -> pymupdf.Rect | None:
    """Return a box of a page or of its parents, with its corners in order."""
    for _ in range(64):
        kind, value = pdf.xref_get_key(xref, key)
        if kind == "xref":
            value = pdf.xref_object(int(value.split()[0]))
        numbers = re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)", value) if kind in {"array", "xref"} else []
        if len(numbers) == 4:
            return pymupdf.Rect(*map(float, numbers)).normalize()
        kind, value = pdf.xref_get_key(xref, "Parent")
        if kind != "xref":
            return None
        xref = int(value.split()[0])
    return None
