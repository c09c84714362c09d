"""Exports: stored pages for other programs, a page in memory at a time. Nothing is read anew.

A further format is a member of `ExportFormat` with a line in `_WRITERS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from enum import StrEnum

from pydantic import JsonValue

from tasks.core.errors import FailureReason, InputError
from tasks.core.flags import Flag
from tasks.core.jobs import Frozen
from tasks.core.paths import StoragePath, format_path
from tasks.results.listing import DOUBTFUL
from tasks.results.page import PageResult, PageSource, PageStatus, json_line
from tasks.results.store import ResultStore, results_name
from tasks.storage.files import files_at

_RESULTS = re.compile(r".+-[0-9a-f]{12}")


class ExportFormat(StrEnum):
    """The format of an export."""

    JSONL = "jsonl"
    """A line of JSON for each page."""


class ExportedPage(Frozen):
    """One page, as a line of an export holds it; every line has every field.

    Attributes:
        document: path of the document; None as long as no run of it has ended.
        sha256: of the document; None likewise.
        results: directory of its results.
        text: as Markdown; of a failed page, what is flagged as partial.
        data: the page's, if its answer followed a JSON Schema.
        source: where the text comes from.
        model: the model that read it; empty if none did.
        confidence: 0 to 1; None if it is not known.
        doubtful: whether its confidence is below `doubtful_below` of the manifest.
        flags: what a person should know of the page.
        reason: why it failed; None if it did not.
        detail: the same in a sentence.
        attempts: how often it was sent.
        seconds: of all attempts, without waiting for a slot.
    """

    document: str | None
    sha256: str | None
    results: str
    page: int
    status: PageStatus
    text: str
    data: JsonValue
    source: PageSource
    model: str
    confidence: float | None
    doubtful: bool
    flags: tuple[Flag, ...]
    reason: FailureReason | None
    detail: str | None
    attempts: int
    seconds: float
    tokens_in: int
    tokens_out: int
    finished_at: datetime


_OF_PAGES = set(ExportedPage.model_fields) & set(PageResult.model_fields) - {"attempts"}

_WRITERS: dict[ExportFormat, Callable[[ExportedPage], str]] = {
    ExportFormat.JSONL: lambda page: json_line(page.model_dump_json()),
}


def exported(
    store: ResultStore, form: ExportFormat, lost: Callable[[int], None], numbers: Iterable[int] | None = None
) -> Iterator[str]:
    """Yield the stored pages of a document, in order, in a format.

    Args:
        store: the document's results.
        form: the format.
        lost: called with the number of each page that cannot be read.
        numbers: of the pages; all that are stored if None.

    Raises:
        OutputError: the results cannot be read.
    """
    manifest = store.manifest()
    document = manifest and manifest.document
    facts = {
        "document": document and format_path(document.path),
        "sha256": document and document.sha256,
        "results": format_path(store.directory),
    }
    below = manifest.doubtful_below if manifest else DOUBTFUL
    wanted = store.numbers() if numbers is None else list(numbers)
    for number, page in zip(wanted, store.each(wanted), strict=True):
        if page is None:
            lost(number)
            continue
        of_page = {name: getattr(page, name) for name in _OF_PAGES}
        doubtful = page.confidence is not None and page.confidence < below
        yield _WRITERS[form](ExportedPage(**facts, **of_page, doubtful=doubtful, attempts=len(page.attempts)))


def results_in(place: StoragePath) -> list[ResultStore]:
    """Return the results in a directory: of one document, or of all that it holds.

    Raises:
        InputError: it holds none.
        OutputError: it cannot be read.
    """
    names = set(files_at(place).names())
    if "pages" in names:
        return [ResultStore(place)]
    found = [ResultStore(place / name) for name in sorted(names) if _RESULTS.fullmatch(name)]
    if not found:
        raise InputError(f"{place} holds no results. Name a document that was read, or a directory of results.")
    return found


def results_of(document: StoragePath, sha256: str, output: StoragePath) -> ResultStore:
    """Return the results of a document's bytes: under its name or, if there are none, under another one.

    Raises:
        InputError: there are none.
        OutputError: the directory of results cannot be read.
    """
    own = results_name(document.stem, sha256)
    found = [name for name in files_at(output).names() if name.endswith(own[-13:]) and _RESULTS.fullmatch(name)]
    if not found:
        raise InputError(
            f"{document} has no results in {output}. Read it first, or name the directory of its results with --output."
        )
    return ResultStore(output / (own if own in found else min(found)))
