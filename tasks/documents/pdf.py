"""Inspection of documents before a run starts: whether they can be read, and which pages."""

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

from tasks.core.document_kinds import HEAD_BYTES, DocumentKind, kind_of
from tasks.core.errors import DocumentError, HostileError, IncompleteError, InputError, LimitError, PasswordError
from tasks.core.flags import Flag, FlagName
from tasks.core.jobs import Document
from tasks.documents.answers import Facts, Refused
from tasks.documents.document_file import DocumentFile
from tasks.documents.other_files import describe_other
from tasks.documents.sandboxed_process import CrashedError
from tasks.documents.shared_processes import processes_here
from tasks.settings.reading import LimitSettings
from tasks.storage.files import StoragePath

_OBJECT = re.compile(rb"\d+\s+\d+\s+obj\b")
_LINEARIZED = re.compile(rb"/Linearized\b.{0,200}?/L\s+(\d{1,15})", re.DOTALL)


def password_from(variable: str | None) -> str | None:
    """Return the password in an environment variable; None without a variable.

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
    """A document that can be read, with its flags."""

    document: Document
    flags: tuple[Flag, ...] = ()


def open_document(
    path: Path, limits: LimitSettings, password: str | None = None, *, place: StoragePath | None = None
) -> Document:
    """Return a document that can be read, as `inspect_document` does, but blocking."""
    with ThreadPoolExecutor(1) as thread:  # this thread may be running a loop
        inspecting = inspect_document(path, limits, password, place=place)
        return thread.submit(copy_context().run, asyncio.run, inspecting).result().document


async def inspect_document(
    path: Path, limits: LimitSettings, password: str | None = None, *, place: StoragePath | None = None
) -> Inspection:
    """Check that a document can be read, count its pages, and find its flags.

    It is opened in the sandboxed process: a few kilobytes can occupy its library for minutes, take gigabytes, or worse.

    Args:
        path: the document.
        limits: limits of size, time and memory.
        password: the user's or owner's password of an encrypted PDF.
        place: the original, if the path is a copy.

    Raises:
        DocumentError: missing, unreadable, a directory, of no kind that is read, truncated, damaged, or without pages.
        HostileError: opening it takes too much time or memory, or crashes the process.
        PasswordError: encrypted, and the password is missing or wrong.
        LimitError: too large, or too many pages.
        RendererError: no document can be opened on this machine.
    """
    source = place or path
    size, digest = await asyncio.to_thread(_size_and_digest, path, source, limits)
    facts = await _facts_of(path, source, limits, password)
    # A broken file with its end intact is repaired silently, as every viewer does; a truncated one would lose pages.
    if facts.repaired and await asyncio.to_thread(is_cut_off, path, size):
        raise IncompleteError(f"{source} is truncated: its end is missing. Fetch or export it again.")
    if facts.pages == 0:
        raise DocumentError(f"{source} has no pages. Fetch or export it again.")
    if facts.pages > limits.pages:
        raise LimitError(
            f"{source} has {max(facts.declared, facts.pages)} pages; the limit is {limits.pages}. Split it, or raise "
            "HEARTH_LIMITS__PAGES."
        )
    document = Document(path=source.absolute(), sha256=digest, pages=facts.pages, size=size)
    return Inspection(document, tuple(_flags_of(facts)))


def _size_and_digest(path: Path, source: StoragePath, limits: LimitSettings) -> tuple[int, str]:
    size = _size_of(path, source, limits)
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if kind_of(head) is None:
                raise DocumentError(f"{source} {describe_other(path, head)}")
            file.seek(0)
            return size, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DocumentError(f"{source} cannot be read: {error.strerror}. Check its permissions.") from None


def _size_of(path: Path, source: StoragePath, limits: LimitSettings) -> int:
    try:
        if path.is_dir():
            raise DocumentError(f"{source} is a directory. Name one document.")
        size = path.stat().st_size
    except FileNotFoundError:
        raise DocumentError(f"{source} does not exist. Check the path.") from None
    except ValueError as error:  # a NUL in it, which JSON can carry and no file system
        raise DocumentError(f"{source} cannot be read: {error}. Check the path.") from None
    except OSError as error:
        raise DocumentError(f"{source} cannot be read: {error.strerror}. Check the path and its permissions.") from None
    if not path.is_file():
        raise DocumentError(f"{source} is not a regular file. Name one document.")
    if size == 0:
        raise IncompleteError(f"{source} is empty (0 bytes). Fetch or export it again.")
    if size > limits.file_mb * 1_000_000:
        raise LimitError(
            f"{source} has {size / 1e6:.0f} MB; the limit is {limits.file_mb} MB. "
            "Split it, or raise HEARTH_LIMITS__FILE_MB."
        )
    return size


async def _facts_of(path: Path, source: StoragePath, limits: LimitSettings, password: str | None) -> Facts:
    with DocumentFile.at(path, limits, password) as file:
        try:
            async with processes_here() as processes, processes.process() as process:
                try:
                    answer = await process.open(file)
                except CrashedError:  # the system may have killed it to free memory
                    answer = await process.open(file)
        except TimeoutError:
            raise _hostile(
                source, f"takes more than {file.seconds:.3g} s to open", "raise HEARTH_LIMITS__OPEN_SECONDS"
            ) from None
        except CrashedError:
            raise _hostile(source, "crashes the process that opens it, twice") from None
    if isinstance(answer, Facts):
        return answer
    raise _refusal(answer, source, file.kind)


def _refusal(answer: Refused, source: StoragePath, kind: DocumentKind) -> InputError:
    match answer.refused:
        case "encrypted":
            return PasswordError(
                f"{source} is encrypted. Put its password in an environment variable and name that with "
                "--password-env, or in a Secret block of Prefect (password_block)."
            )
        case "password":
            return PasswordError(f"The password for {source} is wrong. Correct it and run again.")
        case "memory":
            return _hostile(
                source,
                f"takes more than {answer.memory_mb} MB of memory to open",
                "raise HEARTH_LIMITS__RENDER_MEMORY_MB, and what `ulimit -v` says",
            )
        case "incomplete":
            return IncompleteError(f"{source} is truncated: {answer.detail}. Fetch or export it again.")
        case _:
            return IncompleteError(
                f"{source} is damaged and cannot be opened as a {kind.name}. Fetch or export it again."
            )


def _hostile(source: StoragePath, why: str, remedy: str = "") -> HostileError:
    advice = f"Export it again{f'; or {remedy}' if remedy else ''}."
    return HostileError(f"{source} is refused as hostile: it {why}. It is damaged or malicious. {advice}")


def _flags_of(facts: Facts) -> Iterator[Flag]:
    pages, declared, files = facts.pages, facts.declared, facts.files
    if declared != pages:
        yield Flag(name=FlagName.PAGES, detail=f"It declares {declared} pages, and has {pages}.")
    if files or facts.portfolio:
        more = f" and {facts.more_files} more" if facts.more_files else ""
        named = f"{', '.join(files)}{more}" if files else "their names are unknown"
        kind = "It is a portfolio" if facts.portfolio else "Files are attached to it"
        yield Flag(name=FlagName.FILES, detail=f"{kind}; not read: {named}.")


def is_cut_off(path: Path, size: int) -> bool:
    """Return whether the end of a PDF is missing; other data may follow it."""
    if size == 0:
        return True
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        end = data.rfind(b"%%EOF")
        if end < 0 or _OBJECT.search(data, end):
            return True
        linearized = _LINEARIZED.search(data[:HEAD_BYTES])
        return linearized is not None and int(linearized[1]) > size
