"""Open a PDF and find out, before anything is started, whether it can be read."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from string import whitespace
from typing import Any

from tasks.core.errors import DocumentError, IncompleteError, InputError, LimitError, PasswordError
from tasks.core.flags import Flag, FlagName
from tasks.core.jobs import Document
from tasks.documents.render_process import CrashedError, facts_of
from tasks.settings.reading import LimitSettings
from tasks.storage.files import Place

# Readers look for the mark within this many bytes of the file's beginning (PDF Reference 1.7, appendix H.3).
_MARK_WINDOW = 1024
# Stripped of blanks; with more than one place for a blank its time would grow with their square.
_RANGE = re.compile(r"(\d{1,9})(?:\s*(-)\s*(\d{1,9})?)?", re.ASCII)
_SHOWN = 100
_OBJECT = re.compile(rb"\d+\s+\d+\s+obj\b")
_LINEARIZED = re.compile(rb"/Linearized\b.{0,200}?/L\s+(\d{1,15})", re.DOTALL)


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


@dataclass(frozen=True)
class Inspection:
    """A document that can be read, and what is to be known of it as a whole."""

    document: Document
    flags: tuple[Flag, ...] = ()


def open_document(
    path: Path, limits: LimitSettings, password: str | None = None, *, place: Place | None = None
) -> Document:
    """Check that a PDF can be read, and count its pages; see `inspect_document`."""
    return inspect_document(path, limits, password, place=place).document


def inspect_document(
    path: Path, limits: LimitSettings, password: str | None = None, *, place: Place | None = None
) -> Inspection:
    """Check that a PDF can be read, count its pages, and find what is to be known of it.

    It is opened in a process of its own: a few kilobytes can keep MuPDF busy for minutes, or ask for gigabytes.

    Args:
        path: the PDF.
        limits: what is refused.
        password: of an encrypted PDF; the user's or the owner's.
        place: where it comes from, if the path is a copy's.

    Raises:
        DocumentError: missing, unreadable, a directory, empty, not a PDF, truncated, damaged, or without pages.
        PasswordError: encrypted, and the password is missing or wrong.
        LimitError: too large, too many pages, or too much work to open.
        RendererError: no document can be opened on this machine.
    """
    told = place or path
    size = _size_of(path, told, limits)
    try:
        with path.open("rb") as file:
            head = file.read(_MARK_WINDOW)
            if b"%PDF-" not in head:
                raise DocumentError(f"{told} is not a PDF. Name a PDF file.")
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DocumentError(f"{told} cannot be read: {error.strerror}. Check its permissions.") from None
    facts = _facts_of(path, told, limits, password)
    pages = facts["pages"]
    # A broken file that still ends as it should is mended silently, as every viewer does;
    # one that is cut off would silently lose pages.
    if facts["repaired"] and is_cut_off(path, size):
        raise IncompleteError(f"{told} is truncated: its end is missing. Fetch or export it again.")
    if pages == 0:
        raise DocumentError(f"{told} has no pages. Fetch or export it again.")
    if pages > limits.pages:
        counted = facts["declared"] if facts["declared"] > pages else pages
        raise LimitError(
            f"{told} has {counted} pages; the limit is {limits.pages}. Split it, or raise HEARTH_LIMITS__PAGES."
        )
    return Inspection(Document(path=told.absolute(), sha256=digest, pages=pages, size=size), tuple(_flags_of(facts)))


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


def _facts_of(path: Path, told: Place, limits: LimitSettings, password: str | None) -> dict[str, Any]:
    try:
        facts = facts_of(path, limits, password)
    except TimeoutError:
        raise LimitError(
            f"{told} takes more than {limits.render_seconds:g} s to open: it is damaged, or made to do harm. Export it "
            "again, or raise HEARTH_LIMITS__RENDER_SECONDS."
        ) from None
    except CrashedError:
        raise DocumentError(f"{told} is damaged so that opening it crashes the renderer. Export it again.") from None
    match facts.get("refused"):
        case None:
            return facts
        case "encrypted":
            raise PasswordError(
                f"{told} is encrypted. Put its password in an environment variable and name that with "
                "--password-env; in Prefect, a Secret block will do, too (password_block)."
            )
        case "password":
            raise PasswordError(f"The password given for {told} is wrong. Correct it and run again.")
        case "memory":
            raise LimitError(
                f"{told} takes more than {facts['memory_mb']} MB of memory to open: it is damaged, or made to do harm. "
                "Export it again; or raise HEARTH_LIMITS__RENDER_MEMORY_MB, and what `ulimit -v` says."
            )
        case _:
            raise IncompleteError(f"{told} is damaged and cannot be opened as a PDF. Fetch or export it again.")


def _flags_of(facts: dict[str, Any]) -> Iterator[Flag]:
    pages, declared, files = facts["pages"], facts["declared"], facts["files"]
    if declared != pages:
        yield Flag(name=FlagName.PAGES, detail=f"It says that it has {declared} pages, and it has {pages}.")
    if files or facts["portfolio"]:
        more = f" and {facts['more_files']} more" if facts["more_files"] else ""
        named = f"{', '.join(files)}{more}" if files else "none can be named"
        kind = "It is a portfolio" if facts["portfolio"] else "Files are attached to it"
        yield Flag(name=FlagName.FILES, detail=f"{kind}; not read: {named}.")


def is_cut_off(path: Path, size: int) -> bool:
    """Whether the end of a PDF is missing; what is no part of a PDF may follow its end."""
    if size == 0:
        return True
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        end = data.rfind(b"%%EOF")
        if end < 0 or _OBJECT.search(data, end):
            return True
        linearized = _LINEARIZED.search(data[:_MARK_WINDOW])
        return linearized is not None and int(linearized[1]) > size


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
    numbers: list[int] = []
    # In order, so that each number is counted once, however many ranges name it.
    for first, last in sorted(_ranges(selection, pages)):
        numbers.extend(range(max(first, numbers[-1] + 1 if numbers else 1), last + 1))
    return tuple(numbers)


def _ranges(selection: str, pages: int) -> Iterator[tuple[int, int]]:
    for part in (each.strip(whitespace) for each in selection.split(",")):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise InputError(f"The page selection {_short(selection)!r} is not understood. Write it like 3,7-9 or 10-.")
        first = int(match[1])
        last = int(match[3]) if match[3] else pages if match[2] else first
        if first > last or first < 1 or last > pages:
            told = f"it has {pages} page{'s' if pages > 1 else ''}"
            raise InputError(f"The page selection {_short(part)!r} is out of the document's range: {told}.")
        yield first, last


def _short(selection: str) -> str:
    return selection if len(selection) <= _SHOWN else f"{selection[:_SHOWN]}..."
