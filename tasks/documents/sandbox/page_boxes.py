"""The part of a page that is shown: its crop box, where that is of any use."""

from __future__ import annotations

import re

import pymupdf


def boxed(pdf: pymupdf.Document, page: pymupdf.Page) -> tuple[pymupdf.Page, str]:
    """Give a page whose crop box shows nothing of it its media box instead.

    Returns:
        The page, loaded anew if it was changed, and what was wrong with its boxes; empty if nothing was.
    """
    media, crop = (_inherited(pdf, page.xref, key) for key in ("MediaBox", "CropBox"))
    if media is None or media.is_empty:
        return page, "It says no size of itself that could be used; US Letter is assumed."
    if crop is None or not (crop & media).is_empty:
        return page, ""
    pdf.xref_set_key(page.xref, "CropBox", "[" + " ".join(f"{each:g}" for each in media) + "]")
    return pdf.reload_page(page), "Its crop box shows nothing of it; the whole page was read."


def _inherited(pdf: pymupdf.Document, xref: int, key: str) -> pymupdf.Rect | None:
    """A box of a page or of the nodes above it, its corners in order."""
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
