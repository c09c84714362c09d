"""The results of one document: a directory, written atomically page by page, from which a run goes on."""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, nullcontext
from itertools import dropwhile, takewhile
from typing import Final

from pydantic import ValidationError

from tasks.core.events import Progress, emit
from tasks.core.flags import FlagName
from tasks.core.jobs import Document, Plan
from tasks.results.listing import DOUBTFUL, PAGES_BEGIN, PAGES_END, Listing
from tasks.results.manifest import Manifest
from tasks.results.page import PageEntry, PageResult, PageStatus
from tasks.results.same_content import SameContent
from tasks.storage.files import StoragePath, files_at

_PAGES: Final = "pages"
_MANIFEST: Final = "manifest.json"
_DOCUMENT: Final = "document.md"
_DATA: Final = "data.jsonl"


_PAGE: Final = re.compile(r"(\d{4,})\.json")


def results_directory(output: StoragePath, document: Document) -> StoragePath:
    """Return where a document's results are: <output>/<document name>-<first 12 of its sha256>."""
    return output.absolute() / results_name(document.path.stem, document.sha256)


def results_name(stem: str, sha256: str) -> str:
    """Return the name of the directory of a document's results, by the document's name and bytes."""
    name = re.sub(r"[^\w.-]+", "_", stem).strip("._") or "document"
    # File systems allow 255 bytes in a name.
    name = name.encode()[:180].decode(errors="ignore")
    return f"{name}-{sha256[:12]}"


class ResultStore:
    """Pages, manifest and text of one document, in a directory, wherever it is: see `results_directory`.

    Reading needs no preparation; `prepare` must come before writing. If `shared`, results of the same bytes under other
    names are taken over.
    """

    def __init__(self, directory: StoragePath, *, shared: bool = False) -> None:
        self.directory = directory
        self._files = files_at(directory)
        self._same = SameContent(directory) if shared else None

    @property
    def document_path(self) -> StoragePath:
        """The text of all pages, as Markdown."""
        return self.directory / _DOCUMENT

    @property
    def data_path(self) -> StoragePath:
        """The data of all pages, a line each, where their answers followed a JSON Schema."""
        return self.directory / _DATA

    @property
    def manifest_path(self) -> StoragePath:
        """The manifest of the last run."""
        return self.directory / _MANIFEST

    @property
    def pages_path(self) -> StoragePath:
        """The directory with a file for each page."""
        return self.directory / _PAGES

    def has_document(self) -> bool:
        """Return whether there is a text, of any request."""
        return self._files.exists(_DOCUMENT)

    def has_data(self) -> bool:
        """Return whether there are data, of any request."""
        return self._files.exists(_DATA)

    def prepare(self) -> None:
        """Create the directory, and check that it can be written to.

        Raises:
            OutputError: it cannot be made, read or written.
        """
        self._files.prepare(_PAGES)
        if self._same is not None:
            self._same.prepare()

    @asynccontextmanager
    async def lock(self) -> AsyncIterator[None]:
        """Lock the document, so that no page is paid for twice; wait while another run reads it."""

        def waiting() -> None:
            emit(Progress("waiting for another run that reads this document"))

        async with self._same.lock(waiting) if self._same else nullcontext(), self._files.lock(waiting):
            yield

    def take_over(self, numbers: Iterable[int], is_usable: Callable[[PageResult], bool]) -> None:
        """Copy pages of the same bytes' results under other names, if they are missing here and usable.

        Raises:
            StorageError: as `write_page`.
        """
        others = [ResultStore(place) for place in self._same.others()] if self._same else []
        left = list(numbers)
        for other in others:
            mine = zip(left, self.each(left), strict=True)
            left = [number for number, page in mine if page is None or not (page.settled and is_usable(page))]
            for page in other.results(left):
                if page.settled and is_usable(page):
                    self.write_page(page)

    def earlier_manifest(self) -> Manifest | None:
        """Return the manifest of the last run under this name, or else under another name of the same bytes."""
        own = self.manifest()
        if own is not None or self._same is None:
            return own  # a document that was read under this name needs no other
        others = (ResultStore(place).manifest() for place in self._same.others())
        return next((found for found in others if found is not None), None)

    def page(self, number: int) -> PageResult | None:
        """Return the result of a page; None if there is none that can be read."""
        return _parsed(self._files.read(_name(number)))

    def manifest(self) -> Manifest | None:
        """Return the manifest of the last run; None if there is none that can be read."""
        try:
            with self._files.lines(_MANIFEST) as lines:
                # Its pages are read one by one, so that not all of them are in memory.
                head = "".join(takewhile(PAGES_BEGIN.__ne__, lines))
                tail = "".join(dropwhile(PAGES_END.__ne__, lines))
            facts = json.loads(head + PAGES_BEGIN + tail)
            doubtful_below = facts.get("doubtful_below", DOUBTFUL) if isinstance(facts, dict) else DOUBTFUL
            pages = Listing.of(Listing(self.manifest_path), self.manifest_path, doubtful_below)
            return Manifest.model_validate(facts | {"pages": pages})
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def numbers(self) -> list[int]:
        """Return the numbers of all pages that are stored, of whatever request, in order."""
        found = map(_PAGE.fullmatch, self._files.names(_PAGES))
        return sorted(int(match[1]) for match in found if match)

    def missing(self, plan: Plan, digest: str) -> tuple[int, ...]:
        """Return the plan's pages that still have to be read with a model.

        They have no result, a failed one, that of another request, or one from before the time from which pages count.
        """
        pages = zip(plan.numbers, self.each(plan.numbers), strict=True)
        return tuple(number for number, page in pages if not _counts(page, plan, number, digest))

    def write_page(self, result: PageResult) -> None:
        """Store a page's result, whole or not at all. A good result of the same identity stays.

        Raises:
            StorageError: there is no room, or the directory cannot be written to any more.
        """
        text = result.model_dump_json(indent=1)
        self._files.replace(_name(result.page), text, lambda other: _stands(_parsed(other), result.identity))

    def write_manifest(self, manifest: Manifest, entries: Iterable[PageEntry]) -> None:
        """Store the manifest, whole or not at all, with a line for each page.

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

        self._files.write(_MANIFEST, lines())

    def write_document(self, numbers: Iterable[int], *, strict: bool = False) -> None:
        """Store document.md: these pages in order, each after its marker, one in memory at a time; see `results`.

        Raises:
            StorageError: as `write_page`.
        """
        self._files.write(_DOCUMENT, self.sections(numbers, strict=strict))

    def write_data(self, numbers: Iterable[int], *, strict: bool = False) -> None:
        """Store data.jsonl: a line for each of these pages in order, one in memory at a time.

        Args:
            numbers: of the pages; without any, the data of an earlier request are removed from the file.
            strict: see `results`.

        Raises:
            StorageError: as `write_page`.
        """
        self._files.write(_DATA, map(PageResult.data_line, self.results(numbers, strict=strict)))

    def sections(self, numbers: Iterable[int], *, strict: bool = False) -> Iterator[str]:
        """Return the texts of pages in this order, each after its marker."""
        return map(self.section, self.results(numbers, strict=strict))

    @staticmethod
    def section(result: PageResult) -> str:
        """Return the text of a page after its marker, as document.md holds it."""
        # A comment in a page's text is text: it must neither look like a marker nor hide the next marker.
        text = f"{result.text}\n\n".replace("<!--", "&lt;!--")
        if result.status is PageStatus.READ:
            return f"<!-- page {result.page} -->\n\n{text}"
        status = f"{result.status}: {result.reason}" if result.reason else str(result.status)
        partial = any(flag.name is FlagName.PARTIAL for flag in result.flags)
        return f"<!-- page {result.page}, {status}{', partial' if partial else ''} -->\n\n{text if partial else ''}"

    def results(self, numbers: Iterable[int], *, strict: bool = False) -> Iterator[PageResult]:
        """Return the existing results of pages, in this order; if strict, flagged pages count as failed."""
        results = (result for result in self.each(numbers) if result is not None)
        return map(PageResult.strictly, results) if strict else results

    def each(self, numbers: Iterable[int]) -> Iterator[PageResult | None]:
        """Return the result of each page, in this order; None where there is none that can be read."""
        return map(_parsed, self._files.read_many(map(_name, numbers)))


def _name(number: int) -> str:
    return f"{_PAGES}/{number:04d}.json"


def _parsed(stored: bytes | None) -> PageResult | None:
    try:
        return None if stored is None else PageResult.model_validate_json(stored)
    except ValidationError:
        return None


def _stands(page: PageResult | None, identity: str) -> bool:
    return page is not None and page.settled and page.identity == identity


def _counts(page: PageResult | None, plan: Plan, number: int, digest: str) -> bool:
    if page is None or not page.settled or not page.stored_since(plan.since):
        return False
    return plan.is_met(number, page.identity, digest, page.correction)
