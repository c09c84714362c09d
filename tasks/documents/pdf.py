"""Open a PDF and find out, before anything is started, whether it can be read."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from string import whitespace

from tasks.core.errors import DocumentError, HostileError, IncompleteError, InputError, LimitError, PasswordError
from tasks.core.flags import Flag, FlagName
from tasks.core.jobs import Document
from tasks.documents.answers import Facts, Refused
from tasks.documents.document_file import DocumentFile
from tasks.documents.render_process import CrashedError
from tasks.documents.shared_processes import facts_of
from tasks.settings.reading import LimitSettings
from tasks.storage.files import StoragePath

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
    path: Path, limits: LimitSettings, password: str | None = None, *, place: StoragePath | None = None
) -> Document:
    """Check that a PDF can be read, and count its pages; see `inspect_document`. The thread waits for it."""
    with ThreadPoolExecutor(1) as thread:  # here a loop may be running
        inspecting = inspect_document(path, limits, password, place=place)
        return thread.submit(copy_context().run, asyncio.run, inspecting).result().document


async def inspect_document(
    path: Path, limits: LimitSettings, password: str | None = None, *, place: StoragePath | None = None
) -> Inspection:
    """Check that a PDF can be read, count its pages, and find what is to be known of it.

    It is opened in the sandboxed process: a few kilobytes can keep MuPDF busy for minutes, ask for gigabytes, or worse.

    Args:
        path: the PDF.
        limits: what is refused.
        password: of an encrypted PDF; the user's or the owner's.
        place: where it comes from, if the path is a copy's.

    Raises:
        DocumentError: missing, unreadable, a directory, empty, not a PDF, truncated, damaged, or without pages.
        HostileError: to open it takes too much time or memory, or crashes the process.
        PasswordError: encrypted, and the password is missing or wrong.
        LimitError: too large, or too many pages.
        RendererError: no document can be opened on this machine.
    """
    told = place or path
    size, digest = await asyncio.to_thread(_size_and_digest, path, told, limits)
    facts = await _facts_of(path, told, limits, password)
    # A broken file that still ends as it should is mended silently, as every viewer does;
    # one that is cut off would silently lose pages.
    if facts.repaired and await asyncio.to_thread(is_cut_off, path, size):
        raise IncompleteError(f"{told} is truncated: its end is missing. Fetch or export it again.")
    if facts.pages == 0:
        raise DocumentError(f"{told} has no pages. Fetch or export it again.")
    if facts.pages > limits.pages:
        raise LimitError(
            f"{told} has {max(facts.declared, facts.pages)} pages; the limit is {limits.pages}. Split it, or raise "
            "HEARTH_LIMITS__PAGES."
        )
    document = Document(path=told.absolute(), sha256=digest, pages=facts.pages, size=size)
    return Inspection(document, tuple(_flags_of(facts)))


def _size_and_digest(path: Path, told: StoragePath, limits: LimitSettings) -> tuple[int, str]:
    size = _size_of(path, told, limits)
    try:
        with path.open("rb") as file:
            head = file.read(_MARK_WINDOW)
            if b"%PDF-" not in head:
                raise DocumentError(f"{told} is not a PDF. Name a PDF file.")
            file.seek(0)
            return size, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DocumentError(f"{told} cannot be read: {error.strerror}. Check its permissions.") from None


def _size_of(path: Path, told: StoragePath, limits: LimitSettings) -> int:
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


async def _facts_of(path: Path, told: StoragePath, limits: LimitSettings, password: str | None) -> Facts:
    with DocumentFile.at(path, limits, password) as file:
        try:
            answer = await facts_of(file)
        except TimeoutError:
            raise _hostile(
                told, f"takes more than {file.seconds:.3g} s to open", "raise HEARTH_LIMITS__OPEN_SECONDS"
            ) from None
        except CrashedError:
            raise _hostile(told, "crashes the process that opens it") from None
    if isinstance(answer, Facts):
        return answer
    raise _refusal(answer, told)


def _refusal(answer: Refused, told: StoragePath) -> InputError:
    match answer.refused:
        case "encrypted":
            return PasswordError(
                f"{told} is encrypted. Put its password in an environment variable and name that with "
                "--password-env; in Prefect, a Secret block will do, too (password_block)."
            )
        case "password":
            return PasswordError(f"The password given for {told} is wrong. Correct it and run again.")
        case "memory":
            return _hostile(
                told,
                f"takes more than {answer.memory_mb} MB of memory to open",
                "raise HEARTH_LIMITS__RENDER_MEMORY_MB, and what `ulimit -v` says",
            )
        case _:
            return IncompleteError(f"{told} is damaged and cannot be opened as a PDF. Fetch or export it again.")


def _hostile(told: StoragePath, why: str, remedy: str = "") -> HostileError:
    advice = f"Export it again{f'; or {remedy}' if remedy else ''}."
    return HostileError(f"{told} is refused as hostile: it {why}. It is damaged, or made to do harm. {advice}")


def _flags_of(facts: Facts) -> Iterator[Flag]:
    pages, declared, files = facts.pages, facts.declared, facts.files
    if declared != pages:
        yield Flag(name=FlagName.PAGES, detail=f"It says that it has {declared} pages, and it has {pages}.")
    if files or facts.portfolio:
        more = f" and {facts.more_files} more" if facts.more_files else ""
        named = f"{', '.join(files)}{more}" if files else "none can be named"
        kind = "It is a portfolio" if facts.portfolio else "Files are attached to it"
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
