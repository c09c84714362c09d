"""PDF objects below the level of MuPDF's Python classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pymupdf

_mupdf = pymupdf.mupdf


@dataclass(frozen=True)
class PdfObject:
    """An object of any kind; a missing one is a null object."""

    raw: Any

    @classmethod
    def trailer(cls, pdf: pymupdf.Document) -> PdfObject:
        """Return a document's trailer."""
        return cls(_mupdf.pdf_trailer(_mupdf.pdf_document_from_fz_document(pdf.this)))

    @classmethod
    def numbered(cls, pdf: pymupdf.Document, number: int) -> PdfObject:
        """Return the object of that number."""
        return cls(_mupdf.pdf_new_indirect(_mupdf.pdf_document_from_fz_document(pdf.this), number, 0))

    def __getitem__(self, key: str) -> PdfObject:
        """Return a dictionary's entry."""
        return PdfObject(_mupdf.pdf_dict_gets(self.raw, key))

    def inherited(self, key: str) -> PdfObject:
        """Return an entry of a dictionary or of its parents."""
        return PdfObject(_mupdf.pdf_dict_gets_inheritable(self.raw, key))

    def items(self) -> Iterator[PdfObject]:
        """Return the items of an array."""
        return (PdfObject(_mupdf.pdf_array_get(self.raw, at)) for at in range(_mupdf.pdf_array_len(self.raw)))

    @property
    def is_dict(self) -> bool:
        """Whether it is a dictionary, or a stream."""
        return bool(_mupdf.pdf_is_dict(self.raw))

    @property
    def is_array(self) -> bool:
        """Whether it is an array."""
        return bool(_mupdf.pdf_is_array(self.raw))

    @property
    def number(self) -> int:
        """The object's number; 0 if it has none."""
        return int(_mupdf.pdf_to_num(self.raw))

    @property
    def name(self) -> str:
        """The name without its slash; empty for other objects."""
        return str(_mupdf.pdf_to_name(self.raw))

    @property
    def integer(self) -> int:
        """The integer; 0 for other objects."""
        return int(_mupdf.pdf_to_int(self.raw))

    @property
    def text(self) -> str:
        """The text of a string or stream; empty for other objects."""
        return str(_mupdf.pdf_load_stream_or_string_as_utf8(self.raw))
