"""An open PDF in the sandboxed process: its facts, and its pages as images with their flags."""

import os
from itertools import islice
from mmap import ACCESS_READ, mmap
from typing import Any

import pymupdf

from tasks.documents.sandbox import mupdf_messages
from tasks.documents.sandbox.forms import Forms
from tasks.documents.sandbox.page_images import Limits, RefusedError, drawn, packed, sentence_of
from tasks.documents.sandbox.page_tree import PageTree, repair_boxes, repair_page_tree
from tasks.documents.sandbox.raster import Drawing, ink_fraction, taken_pixels
from tasks.documents.sandbox.stream_checks import StreamChecks
from tasks.documents.sandbox.strips import Strip
from tasks.documents.sandbox.upright import NOTHING, Asked, has_scan, put_upright, text_turn

_MOST_FILES = 20
_LONGEST_NAME = 100


def opened(file: str | int, password: str | None) -> pymupdf.Document:
    """Open a PDF.

    Args:
        file: the path, or a descriptor that stays open. A file that is written to meanwhile may be seen in parts.
        password: of an encrypted PDF.

    Raises:
        RefusedError: it is encrypted, and the password is missing or wrong.
    """
    # Mapped into memory without a copy, since the sandboxed process can open no file.
    with open(file, "rb", closefd=isinstance(file, str)) as opened_file:
        pdf = pymupdf.open(stream=memoryview(mmap(opened_file.fileno(), 0, access=ACCESS_READ)), filetype="pdf")
    if pdf.needs_pass:
        if password is None:
            raise RefusedError("encrypted", "document closed or encrypted: it needs a password")
        if not pdf.authenticate(password):
            raise RefusedError("password", "the password is wrong")
    return pdf


class PageRenderer:
    """Renders the pages of one PDF.

    Raises:
        RefusedError: the password is missing or wrong.
    """

    def __init__(self, file: str | int, password: str | None, limits: Limits) -> None:
        self._source, self._password, self._limits = file, password, limits
        self._version = _version_of(file)
        self._pdf = opened(file, password)
        self._tree: PageTree = repair_page_tree(self._pdf, limits.pages)
        self._forms, self._checks = Forms(self._pdf), StreamChecks(self._pdf)
        self._is_portfolio = self._pdf.xref_get_key(self._pdf.pdf_catalog(), "Collection")[0] != "null"

    def close(self) -> None:
        """Close the document."""
        self._pdf.close()

    def facts(self) -> dict[str, Any]:
        """Return the facts that decide whether the document is read."""
        return {
            "pages": len(self._tree.pages),
            "declared": self._tree.declared,
            "repaired": bool(self._pdf.is_repaired),
            "portfolio": self._is_portfolio,
            "files": self._files(),
            "more_files": max(0, self._pdf.embfile_count() - _MOST_FILES),
        }

    def _files(self) -> list[str]:
        names = islice(map(self._file, range(self._pdf.embfile_count()), self._pdf.embfile_names()), _MOST_FILES)
        return ["".join(filter(str.isprintable, name))[:_LONGEST_NAME] for name in names]

    def _file(self, at: int, key: str) -> str:
        try:
            info = self._pdf.embfile_info(at)
        except Exception:  # noqa: BLE001 - a broken description is no reason not to read the document
            return key
        return str(info.get("ufilename") or info.get("filename") or key)

    def reopen(self) -> None:
        """Release MuPDF's cache of objects, 1 kB per page or more, unless the file has changed."""
        if _version_of(self._source) == self._version:
            self._pdf.close()
            self._pdf = opened(self._source, self._password)
            if self._tree.was_repaired:
                repair_page_tree(self._pdf, self._limits.pages)
            self._forms, self._checks = Forms(self._pdf), StreamChecks(self._pdf)

    def render(self, number: int, longest_side: int, asked: Asked = NOTHING) -> tuple[dict[str, Any], list[bytes]]:
        """Render a page on white, with the PDF's rotation, and put it upright.

        Args:
            number: the page, counted from 1.
            longest_side: of an image, in pixels.
            asked: what may be done to put the page upright.

        Returns:
            The header of the response, and the PNG of the page, or of each of its strips.

        Raises:
            RefusedError: the page cannot be rendered, or not in a readable size.
        """
        try:
            page, flags = self.prepared(number)
            strips, scale = _drawn(page, longest_side)
            strips, done = put_upright(strips, asked, lambda: text_turn(page), is_scan=has_scan(page))
        except RefusedError:
            raise
        except Exception as error:
            damages = mupdf_messages.damages()
            if not damages or isinstance(error, MemoryError):
                raise
            raise RefusedError("damaged", sentence_of([str(error), *damages])) from error
        inks = [ink_fraction(strip.image) for strip in strips]
        if damages := self.damages(page):
            if not any(inks):
                raise RefusedError("damaged", f"nothing on it can be decoded: {sentence_of(damages)}")
            flags.append(("damaged", f"Part of it could not be decoded: {sentence_of(damages)}."))
        header, pngs = packed(strips, inks, scale, (page.rect.width, page.rect.height), flags)
        return {**header, **done}, pngs

    def damages(self, page: pymupdf.Page) -> list[str]:
        """Return what could not be decoded on a page that was drawn."""
        damages = [*mupdf_messages.damages(), *self._checks.damages(page)]
        if damages:
            pymupdf.TOOLS.store_shrink(100)  # on other pages the cached blanks would cause no message
        return damages

    def prepared(self, number: int) -> tuple[pymupdf.Page, list[tuple[str, str]]]:
        """Return a page ready for drawing, and its flags so far.

        Raises:
            RefusedError: it cannot be drawn.
        """
        mupdf_messages.forget()
        index = self._tree.index(number)
        if index is None:
            raise RefusedError("damaged", "the document refers to a page here that does not exist")
        page = self._pdf[index]
        if self._forms.is_placeholder(page):
            raise RefusedError(
                "xfa", "its content is an XFA form, of which only a placeholder is drawn. Export it from Adobe Acrobat"
            )
        for _, _, width, height, *_ in page.get_images(full=True):
            if width * height > self._limits.image_megapixels * 1_000_000:
                picture = f"a picture on it has {width} x {height} pixels"
                raise RefusedError("size", f"{picture}; the limit is {self._limits.image_megapixels} megapixels")
        flags: list[tuple[str, str]] = []
        if self._is_portfolio:
            flags.append(("files", "It is the cover of a portfolio, whose files were not read."))
        if self._forms.hides_xfa(page):
            flags.append(("undecoded", "The document has an XFA form, which may contain more than is drawn."))
        page, problem = repair_boxes(self._pdf, page)
        if problem:
            flags.append(("cropped", problem))
        if self._forms.show_values(page):
            page = self._pdf.reload_page(page)
        return page, flags


def _drawn(page: pymupdf.Page, longest_side: int) -> tuple[list[Strip], float]:
    if page.rect.is_empty or page.rect.is_infinite:
        raise ValueError("it has no area")
    return drawn(
        (page.rect.width, page.rect.height),
        longest_side,
        lambda scale: Drawing(page, scale).image,
        lambda scale, tall: taken_pixels(page, scale, tall=tall),
    )


def _version_of(file: str | int) -> tuple[int, int, int] | None:
    """Return values that change when a file is replaced or written to; None if it is gone."""
    try:
        facts = os.stat(file)  # noqa: PTH116 - Path takes no descriptors
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
