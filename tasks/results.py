"""The results of one document: a directory, written atomically page by page, from which a run continues."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import re
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import IO, TypeVar

from pydantic import BaseModel, ValidationError

from tasks.errors import OutputError, StorageError
from tasks.jobs import Document, Plan
from tasks.leases import try_exclusive
from tasks.manifest import PAGES_BEGIN, PAGES_END, Listing, Manifest, PageEntry, PageResult, PageStatus
from tasks.progress import Stage, tell

M = TypeVar("M", bound=BaseModel)

_TURN_POLL_SECONDS = 1.0


def results_directory(output: Path, document: Document) -> Path:
    """Where a document's results live: <output>/<document name>-<first 12 of its sha256>."""
    name = re.sub(r"[^\w.-]+", "_", document.name).strip("._") or "document"
    # File systems allow 255 bytes a name.
    name = name.encode()[:180].decode(errors="ignore")
    return output.absolute() / f"{name}-{document.sha256[:12]}"


class ResultStore:
    """Pages, manifest and text of one document, in a directory.

    Reading needs no preparation; `prepare` must come before writing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._pages = directory / "pages"
        self._lock = directory / ".lock"

    @property
    def document_path(self) -> Path:
        """The pages in order, as Markdown."""
        return self.directory / "document.md"

    @property
    def manifest_path(self) -> Path:
        """The account of the last run."""
        return self.directory / "manifest.json"

    def prepare(self) -> None:
        """Make the directory and prove that it can be written to.

        Raises:
            OutputError: it cannot be made, read or written.
        """
        try:
            self._pages.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._pages) as probe:
                probe.write(b"\0")
        except OSError as error:
            raise OutputError(
                f"The results cannot be written to {self.directory}: {error.strerror}. "
                "Choose another directory with --output, or mend this one."
            ) from None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Have the document for oneself, so that no page is paid for twice; wait while another run reads it.

        What a killed run left half-written is cleared.
        """
        while (lease := try_exclusive(self._lock)) is None:
            tell(Stage("waiting for another run that reads this document"))
            await asyncio.sleep(_TURN_POLL_SECONDS)
        try:
            for directory in (self.directory, self._pages):
                for leftover in directory.glob(".*.tmp"):
                    leftover.unlink(missing_ok=True)
            yield
        finally:
            lease.release()

    def page(self, number: int) -> PageResult | None:
        """The result of a page, or None if there is none that can be understood."""
        return self._read(self._page_path(number), PageResult)

    def manifest(self) -> Manifest | None:
        """The account of the last run, or None if there is none that can be understood."""
        path = self.manifest_path
        try:
            with path.open(encoding="utf-8") as lines:
                # Its pages are read one by one, that not all of them are in memory.
                head = "".join(takewhile(PAGES_BEGIN.__ne__, lines))
                tail = "".join(dropwhile(PAGES_END.__ne__, lines))
            facts = json.loads(head + PAGES_BEGIN + tail)
            return Manifest.model_validate(facts | {"pages": Listing.of(Listing(path), path)})
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        except OSError as error:
            raise _unreadable(path, error) from None

    def missing(self, plan: Plan, digest: str) -> tuple[int, ...]:
        """Which of the plan's pages are still to be read with this model: no result, a failed one, or another's."""
        return tuple(number for number in plan.numbers if not self._stands(plan, number, digest))

    def write_page(self, result: PageResult) -> None:
        """Store a page's result, whole or not at all.

        Raises:
            StorageError: there is no room, or the directory cannot be written to any more.
        """
        text = result.model_dump_json(indent=1)
        self._write(self._page_path(result.page), lambda file: file.write(text))

    def write_manifest(self, manifest: Manifest, entries: Iterable[PageEntry]) -> None:
        """Store the account of the run, whole or not at all, with an entry for each page, a line each.

        Raises:
            StorageError: as `write_page`.
        """

        def lines() -> Iterator[str]:
            yield manifest.model_dump_json(indent=1).removesuffix("\n}") + ",\n" + PAGES_BEGIN
            comma = ""
            for entry in entries:
                yield f"{comma}  {entry.model_dump_json()}"
                comma = ",\n"
            yield f"{comma.removeprefix(',')}{PAGES_END}}}\n"

        self._write(self.manifest_path, lambda file: file.writelines(lines()))

    def write_document(self, numbers: Iterable[int]) -> None:
        """Store document.md: these pages in order, each behind its marker, one in memory at a time.

        Raises:
            StorageError: as `write_page`.
        """
        self._write(self.document_path, lambda file: file.writelines(self.sections(numbers)))

    def sections(self, numbers: Iterable[int]) -> Iterator[str]:
        """The text of these pages in the order given, each behind its marker."""
        return map(_section, self.results(numbers))

    def results(self, numbers: Iterable[int]) -> Iterator[PageResult]:
        """The results there are of these pages, in the order given."""
        for number in numbers:
            result = self.page(number)
            if result is not None:
                yield result

    def _stands(self, plan: Plan, number: int, digest: str) -> bool:
        result = self.page(number)
        return result is not None and result.settled and result.identity == plan.identity(number, digest)

    def _page_path(self, number: int) -> Path:
        return self._pages / f"{number:04d}.json"

    def _read(self, path: Path, model: type[M]) -> M | None:
        try:
            return model.model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            return None
        except OSError as error:
            raise _unreadable(path, error) from None

    def _write(self, path: Path, write: Callable[[IO[str]], object]) -> None:
        temporary: Path | None = None
        try:
            # Not by tempfile, whose files only their owner may read.
            temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
            with temporary.open("x", encoding="utf-8") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException as error:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    temporary.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            remedy = "Make room" if full else "Mend the directory"
            raise StorageError(
                f"{path} cannot be written: {error.strerror}. {remedy} and run again; the pages stored so far stand."
            ) from None


def _unreadable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path} cannot be read: {error.strerror}. Choose another directory with --output, or mend this one."
    )


def _section(result: PageResult) -> str:
    if result.status is PageStatus.READ:
        return f"<!-- page {result.page} -->\n\n{result.text}\n\n"
    told = f"{result.status}: {result.reason}" if result.reason else str(result.status)
    return f"<!-- page {result.page}, {told} -->\n\n"
