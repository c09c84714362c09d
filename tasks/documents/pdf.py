"""Open a PDF and find out, before anything is started, whether it can be read."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pymupdf

from tasks.core.errors import DocumentError, IncompleteError, InputError, LimitError, PasswordError
from tasks.core.jobs import Document
from tasks.settings.reading import LimitSettings
from tasks.storage.files import Place

# MuPDF prints its findings on stderr; what matters of them is in our own errors.
pymupdf.TOOLS.mupdf_display_errors(False)  # noqa: FBT003 - the library's signature
pymupdf.TOOLS.mupdf_display_warnings(False)  # noqa: FBT003 - the library's signature

# Readers look for both marks within this many bytes of the file's ends (PDF Reference 1.7, appendix H.3).
_MARK_WINDOW = 1024


def password_from(variable: str | None) -> str | None:
    """The password that an environment variable holds.

    Raises:
        PasswordError: the variable is not set.
    """
    if not variable:
        return None
    try:
        return os.environ[variable]
    except KeyError:
        raise PasswordError(
            f"The environment variable {variable} that should hold the password is not set. Set it and run again."
        ) from None


def open_document(
    path: Path, limits: LimitSettings, password: str | None = None, *, place: Place | None = None
) -> Document:
    """Check that a PDF can be read, and count its pages.

    Args:
        path: the PDF.
        limits: what is refused.
        password: of an encrypted PDF; the user's or the owner's.
        place: where it comes from, if the path is a copy's.

    Raises:
        DocumentError: missing, unreadable, a directory, empty, not a PDF, truncated, damaged, or without pages.
        PasswordError: encrypted, and the password is missing or wrong.
        LimitError: too large, or too many pages.
    """
    told = place or path
    size = _size_of(path, told, limits)
    try:
        with path.open("rb") as file:
            head = file.read(_MARK_WINDOW)
            file.seek(max(0, size - _MARK_WINDOW))
            tail = file.read()
            if b"%PDF-" not in head:
                raise DocumentError(f"{told} is not a PDF. Name a PDF file.")
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DocumentError(f"{told} cannot be read: {error.strerror}. Check its permissions.") from None
    pages = _count_pages(path, told, password, truncated=b"%%EOF" not in tail)
    if pages > limits.pages:
        raise LimitError(
            f"{told} has {pages} pages; the limit is {limits.pages}. Split it, or raise HEARTH_LIMITS__PAGES."
        )
    return Document(path=told.absolute(), sha256=digest, pages=pages, size=size)


def _size_of(path: Path, told: Place, limits: LimitSettings) -> int:
    try:
        if path.is_dir():
            raise DocumentError(f"{told} is a directory. Name one PDF file.")
        size = path.stat().st_size
    except FileNotFoundError:
        raise DocumentError(f"{told} does not exist. Check the path.") from None
    except ValueError as error:  # a NUL in it, which JSON can carry and no file system
        raise DocumentError(f"{told} cannot be read: {error}. Check the path.") from None
    except OSError as error:
        raise DocumentError(f"{told} cannot be read: {error.strerror}. Check the path and its permissions.") from None
    if not path.is_file():
        raise DocumentError(f"{told} is not a regular file. Name one PDF file.")
    if size == 0:
        raise IncompleteError(f"{told} is empty (0 bytes). Fetch or export the PDF again.")
    if size > limits.file_mb * 1_000_000:
        raise LimitError(
            f"{told} has {size / 1e6:.0f} MB; the limit is {limits.file_mb} MB. "
            "Split it, or raise HEARTH_LIMITS__FILE_MB."
        )
    return size


def _count_pages(path: Path, told: Place, password: str | None, *, truncated: bool) -> int:
    damaged = f"{told} is damaged and cannot be opened as a PDF. Fetch or export it again."
    try:
        # MuPDF raises many kinds (RuntimeError, ValueError and its own) on a broken file.
        with pymupdf.open(path, filetype="pdf") as pdf:
            if pdf.needs_pass:
                if password is None:
                    raise PasswordError(
                        f"{told} is encrypted. Put its password in an environment variable and name that with "
                        "--password-env; in Prefect, a Secret block will do, too (password_block)."
                    )
                if not pdf.authenticate(password):
                    raise PasswordError(f"The password given for {told} is wrong. Correct it and run again.")
            # A broken file that still ends as it should is mended silently, as every viewer does;
            # one that is cut off would silently lose pages.
            if truncated and pdf.is_repaired:
                raise IncompleteError(f"{told} is truncated: its end is missing. Fetch or export it again.")
            pages = int(pdf.page_count)
    except InputError:
        raise
    except Exception:  # noqa: BLE001 - see above
        raise IncompleteError(damaged) from None
    if pages == 0:
        raise DocumentError(f"{told} has no pages. Fetch or export it again.")
    return pages


def select_pages(selection: str | None, pages: int) -> tuple[int, ...]:
    """The page numbers that a selection means.

    Args:
        selection: such as "3,7-9" or "10-"; None means all.
        pages: how many the document has.

    Returns:
        Numbers counted from 1, ascending, each once.

    Raises:
        InputError: it cannot be understood, or names a page that is not there.
    """
    if not selection:
        return tuple(range(1, pages + 1))
    return tuple(sorted(set(_numbers(selection, pages))))


def _numbers(selection: str, pages: int) -> Iterator[int]:
    for part in selection.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:\s*(-)\s*(\d{1,9})?)?\s*", part, flags=re.ASCII)
        if match is None:
            raise InputError(f"The page selection {selection!r} is not understood. Write it like 3,7-9 or 10-.")
        first = int(match[1])
        last = int(match[3]) if match[3] else pages if match[2] else first
        if first > last or first < 1 or last > pages:
            told = f"it has {pages} page{'s' if pages > 1 else ''}"
            raise InputError(f"The page selection {part.strip()!r} is out of the document's range: {told}.")
        yield from range(first, last + 1)
