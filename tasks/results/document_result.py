"""The result of a run: small, stored by Prefect, and giving the text of each page where the results can be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, overload

from pydantic import BaseModel, ConfigDict

from tasks.core.errors import StorageError
from tasks.core.flags import Flag, FlagName
from tasks.core.jobs import Document, Plan, ReadOptions, meets_request
from tasks.core.page_ranges import format_ranges, parse_ranges
from tasks.results.manifest import Manifest, RunStatus
from tasks.results.page import PageResult, PageStatus
from tasks.results.store import ResultStore
from tasks.results.usage import EndpointRecord, Spread
from tasks.storage.files import StoragePath


class Result(BaseModel):
    """An immutable result that other versions can read; they ignore fields that they do not know."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class PageCounts(Result):
    """Numbers of pages: by status, flagged, doubtful, of unknown confidence, and read by this run."""

    pages: int = 0
    read: int = 0
    blank: int = 0
    failed: int = 0
    flagged: int = 0
    doubtful: int = 0
    confidence_unknown: int = 0
    read_now: int = 0


class DocumentResult(Result):
    """The result of `process_document`.

    It does not hold the text: `text()` and `pages` read it from the results, in a directory or S3.

    Attributes:
        document: the PDF: path, sha256, number of pages, size.
        output: directory or s3:// prefix of its results.
        document_path: the text, document.md; None while pages are left.
        data_path: the data of all pages, data.jsonl; None while pages are left, or without a JSON Schema.
        pages_path: directory with a file for each page.
        numbers: numbers of the pages that are stored, such as 1-7,9.
        strict: whether a flagged page counts as failed.
        cost_usd: cost of the machines, as far as their prices are known.
        endpoint: the server that read the pages; None if nothing was left to read.
        read_seconds: from the first page's start to the last page's end.
        first_token: seconds from the request to the first token, of the pages that the run read; None if it read none.
    """

    status: RunStatus
    document: Document
    output: StoragePath
    document_path: StoragePath | None
    data_path: StoragePath | None = None
    manifest_path: StoragePath
    pages_path: StoragePath
    numbers: str = ""
    counts: PageCounts = PageCounts()
    strict: bool = False
    model: str
    digest: str = ""
    options: ReadOptions
    endpoint: EndpointRecord | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0
    warm_seconds: float = 0.0
    read_seconds: float = 0.0
    first_token: Spread | None = None
    flags: tuple[Flag, ...] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None
    flow_run_id: str | None = None

    @classmethod
    def of(cls, plan: Plan, manifest: Manifest | None) -> DocumentResult:
        """Return the result of a run with this manifest; None if it stored nothing."""
        if manifest is None:
            return cls(
                status=RunStatus.STOPPED, document=plan.document, model=plan.model, options=plan.options,
                strict=plan.strict, **_places(plan.output, RunStatus.STOPPED, plan.options),
            )  # fmt: skip
        return cls._of(manifest, strict=plan.strict)

    @classmethod
    def load(cls, output: StoragePath) -> DocumentResult:
        """Return the result of the last run that read into a document's directory.

        Raises:
            StorageError: there is none.
        """
        manifest = ResultStore(output).manifest()
        if manifest is None:
            raise StorageError(f"{output} holds no results of a document. Read it again, or name another directory.")
        return cls._of(manifest, strict=any(entry.reason == "flagged" for entry in manifest.failed))

    @classmethod
    def _of(cls, manifest: Manifest, *, strict: bool) -> DocumentResult:
        pages = manifest.pages
        shared = set(cls.model_fields) & set(Manifest.model_fields)
        return cls(
            **{name: getattr(manifest, name) for name in shared},
            **{
                name: place
                for name, place in _places(manifest.output, manifest.status, manifest.options).items()
                if name not in shared
            },
            numbers=format_ranges(entry.page for entry in pages),
            counts=PageCounts(
                pages=len(pages),
                read=pages.read,
                blank=pages.blank,
                failed=len(pages.failed),
                flagged=pages.flagged,
                doubtful=pages.doubted,
                confidence_unknown=pages.unsure,
                read_now=manifest.read_now,
            ),
            strict=strict,
            tokens_in=pages.tokens_in,
            tokens_out=pages.tokens_out,
        )

    @property
    def pages(self) -> Pages:
        """The pages in order: `pages[0].text` is the first one's text. Each is read on access."""
        return Pages(self)

    def text(self) -> str:
        """Return the text of all pages in order, each after its marker, as in document.md.

        Raises:
            StorageError: a page is gone, or another request has replaced it.
            OutputError: the results cannot be read.
        """
        return "".join(map(ResultStore.section, self.pages))

    @property
    def read_now(self) -> int:
        """How many of the pages this run has read."""
        return self.counts.read_now

    @property
    def failed(self) -> tuple[PageResult, ...]:
        """The pages that failed."""
        return tuple(page for page in self.pages if page.status is PageStatus.FAILED) if self.counts.failed else ()

    @property
    def changed(self) -> bool:
        """Whether the document was changed while it was read, so that the results are of what it was."""
        return any(flag.name is FlagName.CHANGED for flag in self.flags)

    def count(self, *statuses: PageStatus) -> int:
        """Return how many pages have one of these statuses."""
        return sum(getattr(self.counts, PageStatus(status).value) for status in statuses)

    def totals(self) -> dict[str, Any]:
        """Return the run in figures, for a program."""
        return {
            **{"status": self.status.value, **self.counts.model_dump()},
            **{"tokens_in": self.tokens_in, "tokens_out": self.tokens_out, "cost_usd": self.cost_usd},
        }


class Pages(Sequence[PageResult]):
    """The stored pages of a result, each read from its file on access."""

    def __init__(self, result: DocumentResult) -> None:
        self._result = result
        self._numbers = parse_ranges(result.numbers)
        self._store = ResultStore(result.output)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> PageResult: ...
    @overload
    def __getitem__(self, index: slice) -> list[PageResult]: ...
    def __getitem__(self, index: int | slice) -> PageResult | list[PageResult]:
        if isinstance(index, slice):
            return list(self._read(self._numbers[index]))
        return next(self._read((self._numbers[index],)))

    def __iter__(self) -> Iterator[PageResult]:
        return self._read(self._numbers)

    def _read(self, numbers: Sequence[int]) -> Iterator[PageResult]:
        result = self._result
        for number, page in zip(numbers, self._store.each(numbers), strict=True):
            name = f"Page {number} of {result.document.name}"
            if page is None:
                raise StorageError(f"{name} is not in {result.pages_path} any more. Read the document again.")
            asked = (result.document.sha256, number, result.digest, result.options)
            if not meets_request(page.identity, *asked, page.correction):
                raise StorageError(
                    f"{name} was read again since, with another model or other options. Use that run's result, or read "
                    "again as before."
                )
            yield page.strictly() if result.strict else page


def _places(output: StoragePath, status: RunStatus, options: ReadOptions) -> dict[str, Any]:
    store = ResultStore(output)
    written = status is not RunStatus.STOPPED
    return {
        "output": output,
        "document_path": store.document_path if written else None,
        "data_path": store.data_path if written and options.schema_sha256 else None,
        "manifest_path": store.manifest_path,
        "pages_path": store.pages_path,
    }
