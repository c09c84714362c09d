"""The kinds of documents that are read: how their files begin, and how they are named.

The command, the sources of batches, the HTTP API, the trigger of uploads and the docs follow this table. The content
decides what a document is; its name decides only whether a batch or an upload regards it as a document.
"""

import re
from dataclasses import dataclass

HEAD_BYTES = 1024
"""How much of a file's beginning shows its kind. PDF readers look for the mark in as much (PDF Reference 1.7, H.3)."""


@dataclass(frozen=True)
class DocumentKind:
    """A kind of documents.

    Attributes:
        name: for people, and for the library that decodes it.
        suffixes: of its files' names, in lower case; the first is the usual one.
        media_type: its name in HTTP.
        mark: matches the beginning of its files.
    """

    name: str
    suffixes: tuple[str, ...]
    media_type: str
    mark: re.Pattern[bytes]

    @property
    def suffix(self) -> str:
        """The usual suffix of its files."""
        return self.suffixes[0]


def _kind(name: str, suffixes: str, media_type: str, mark: bytes) -> DocumentKind:
    return DocumentKind(name, tuple(suffixes.split()), media_type, re.compile(mark, re.DOTALL))


PDF = _kind("PDF", ".pdf", "application/pdf", rb".{0,1019}?%PDF-")
PICTURES = (
    _kind("PNG", ".png", "image/png", rb"\x89PNG\r\n\x1a\n"),
    _kind("JPEG", ".jpg .jpeg", "image/jpeg", rb"\xff\xd8\xff"),
    _kind("TIFF", ".tif .tiff", "image/tiff", rb"II[*+]\0|MM\0[*+]"),
    _kind("WebP", ".webp", "image/webp", rb"RIFF.{4}WEBP"),
)
# A file that was read as a PDF stays one, even if it is a picture, too.
KINDS = (PDF, *PICTURES)

SUFFIXES = tuple(suffix for kind in KINDS for suffix in kind.suffixes)
"""The suffixes of documents, in lower case."""
MEDIA_TYPES = tuple(kind.media_type for kind in KINDS)
PICTURE_NAMES = f"{', '.join(kind.name for kind in PICTURES[:-1])} or {PICTURES[-1].name}"
"""The kinds of pictures, as a part of a sentence."""


def kind_of(head: bytes) -> DocumentKind | None:
    """Return the kind of a document by its first `HEAD_BYTES`; None if it is not read."""
    return next((kind for kind in KINDS if kind.mark.match(head)), None)


def is_document(name: str) -> bool:
    """Return whether a file's name is one of a document; a suffix alone is none."""
    lower = name.lower()
    return any(lower.endswith(suffix) and len(lower) > len(suffix) for suffix in SUFFIXES)
