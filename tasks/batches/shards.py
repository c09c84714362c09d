"""Share a batch's documents among several runs: each document once, and about as many pages to each run."""

from __future__ import annotations

import heapq
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import Field

from tasks.batches.batch import Batch, Source
from tasks.core.errors import HearthError, InputError
from tasks.core.jobs import Frozen
from tasks.core.page_ranges import select_pages
from tasks.core.paths import format_path
from tasks.documents.pdf import open_document
from tasks.results.report import Report
from tasks.settings.reading import LimitSettings
from tasks.storage.files import StoragePath, files_at

_BYTES_PER_PAGE = 50_000
"""An estimate for documents in S3, which are not fetched to be counted; it matters only that it is the same for all."""
FOLDER = "batches"
"""Folder of the output with shards and reports."""


@dataclass(frozen=True)
class Weighed:
    """A document, and how many pages it has, or is estimated to have."""

    source: Source
    pages: int


@dataclass(frozen=True)
class ShardPlan:
    """What one run reads."""

    documents: tuple[Weighed, ...]

    @property
    def pages(self) -> int:
        """Pages of all its documents."""
        return sum(document.pages for document in self.documents)


class Shard(Frozen):
    """A shard as a file in `batches` of the output, beside which its run writes the report.

    Attributes:
        max_usd: its part of the batch's budget.
        ends_at: no page is begun after it.
        since: when a batch that reads anew began; pages stored since then are not read again.
    """

    name: str
    documents: tuple[str, ...]
    max_usd: float | None = None
    ends_at: datetime | None = None
    since: datetime | None = Field(None, exclude_if=operator.not_)

    @classmethod
    def named(cls, name: str, output: StoragePath) -> Shard:
        """Read a part by its name.

        Raises:
            InputError: there is none.
        """
        content = files_at(output / FOLDER).read(f"{name}.json")
        if content is None:
            raise InputError(
                f"{output / FOLDER} has no part {name}. Have all workers see the batch's output, or name one under "
                "s3://."
            )
        return cls.model_validate_json(content)

    def write(self, output: StoragePath) -> None:
        """Write it for its run.

        Raises:
            StorageError: it cannot be written.
        """
        files = files_at(output / FOLDER)
        files.mkdir()
        files.write(f"{self.name}.json", [self.model_dump_json()])

    def write_report(self, report: Report, output: StoragePath) -> StoragePath:
        """Write the report for the batch, and return its path.

        Raises:
            StorageError: it cannot be written.
        """
        files, name = files_at(output / FOLDER), f"{self.name}-report.json"
        files.write(name, [report.model_dump_json()])
        return files.path / name

    def report(self, output: StoragePath) -> Report | None:
        """Return the report of its run; None if it wrote none.

        Raises:
            OutputError: it cannot be read.
        """
        report = files_at(output / FOLDER).read(f"{self.name}-report.json")
        return None if report is None else Report.model_validate_json(report)

    def batch(self, batch: Batch, output: StoragePath) -> Batch:
        """Return the batch that its run reads: the same, but for what the part decides."""
        changes = {"part": self.name, "sources": (), "workers": 1, "max_usd": None, "max_minutes": None}
        if not batch.output_block:
            changes["output"] = format_path(output)  # the worker's own setting may differ
        return batch.model_copy(update={**changes, "finish_by": None, "finish_within": None})


def weighed(
    source: Source,
    limits: LimitSettings | None = None,
    pages: str | None = None,
    left: Callable[[Path, Sequence[int]], int] = lambda _, numbers: len(numbers),
) -> Weighed:
    """Return a document with the number of its pages; 1 if it cannot be opened, which is an error when it is read.

    The thread is blocked while the document is opened.

    Args:
        source: the document.
        limits: within which it is opened.
        pages: which of its pages are read; all if None.
        left: says how many of these pages of a file a model has to read.
    """
    if not isinstance(source.path, Path):
        return Weighed(source, max(1, source.size // _BYTES_PER_PAGE))
    try:
        document = open_document(source.path, limits or LimitSettings())
        return Weighed(source, left(source.path, select_pages(pages, document.pages)))
    except HearthError:
        return Weighed(source, 1)


def balanced(documents: Sequence[Weighed], most: int, least_pages: int) -> list[ShardPlan]:
    """Give each document, the longest first, to the run with the fewest pages.

    So no run has more than 4/3 of the pages of the best possible sharing (Graham, SIAM J. Appl. Math. 17, 1969). There
    are `most` runs at most, and fewer if they would not have `least_pages` each.

    Returns:
        The shards, none of them empty, the one with the most pages first; in each, the documents in the order given.
    """
    pages = sum(document.pages for document in documents)
    count = max(1, min(most, len(documents), pages // least_pages))
    loads = [(0, number) for number in range(count)]
    shards: list[list[int]] = [[] for _ in loads]
    for at in sorted(range(len(documents)), key=lambda at: -documents[at].pages):
        load, number = heapq.heappop(loads)
        shards[number].append(at)
        heapq.heappush(loads, (load + max(1, documents[at].pages), number))
    plans = [ShardPlan(tuple(documents[at] for at in sorted(shard))) for shard in shards if shard]
    return sorted(plans, key=lambda shard: -shard.pages)


def why_fewer(shards: Sequence[ShardPlan], most: int, least_pages: int) -> str:
    """Return why fewer runs share documents than may; empty if as many do, or there are no documents."""
    documents, pages = sum(len(shard.documents) for shard in shards), sum(shard.pages for shard in shards)
    if not 0 < len(shards) < most:
        return ""
    read = "One run reads" if len(shards) == 1 else f"{len(shards)} runs read"
    if documents == len(shards):
        return f"{read}, and not {most} workers: there are no more documents to read."
    return (
        f"{read}, and not {most} workers: {pages} pages are to be read, and each worker gets {least_pages} at least "
        "(--worker-pages; in Prefect worker_pages)."
    )
