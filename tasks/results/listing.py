"""The pages of a manifest: counted in memory, listed in its file."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import dropwhile, takewhile

from tasks.results.page import PageEntry, PageSource, PageStatus
from tasks.storage.files import StoragePath, files_at

# At the end of manifest.json, the pages stand between these lines, one a line.
PAGES_BEGIN, PAGES_END = ' "pages": [\n', " ]\n"

DOUBTFUL = 0.8
"""Confidence below which a page is doubtful, unless the settings name another."""
_MOST_DOUBTFUL = 20


def _confidence(entry: PageEntry) -> float:
    return entry.confidence or 0.0


@dataclass(frozen=True, slots=True)
class Listing:
    """A manifest's pages: counted here, and listed in its file, from which iteration reads them one at a time.

    Attributes:
        read, blank: how many pages ended so.
        failed: pages that failed.
        flagged: how many of the other pages are flagged.
        layers: how many pages come from their text layer without a model.
        fallback: how many come from it because the model failed.
        doubtful: the least confident pages, up to 20 of them, in order.
        doubted: how many pages are doubtful.
        unsure: how many pages were read by a server that does not tell its confidence.
        confidence: of the least confident page; None if that of no page is known.
    """

    file: StoragePath
    read: int = 0
    blank: int = 0
    failed: tuple[PageEntry, ...] = ()
    tokens_in: int = 0
    tokens_out: int = 0
    flagged: int = 0
    doubtful: tuple[PageEntry, ...] = ()
    layers: int = 0
    fallback: int = 0
    doubted: int = 0
    unsure: int = 0
    confidence: float | None = None

    @classmethod
    def of(cls, entries: Iterable[PageEntry], file: StoragePath, doubtful_below: float = DOUBTFUL) -> Listing:
        """Count pages."""
        read = blank = tokens_in = tokens_out = flagged = doubted = unsure = layers = fallback = 0
        lowest: float | None = None
        failed, doubtful = [], list[PageEntry]()
        for entry in entries:
            read += entry.status is PageStatus.READ
            blank += entry.status is PageStatus.BLANK
            tokens_in += entry.tokens_in
            tokens_out += entry.tokens_out
            layers += entry.source is PageSource.TEXT_LAYER
            fallback += entry.source is PageSource.TEXT_LAYER_FALLBACK
            if entry.status is PageStatus.FAILED:
                failed.append(entry)
            else:
                flagged += bool(entry.flags)
            if entry.confidence is None:
                unsure += entry.status is PageStatus.READ and entry.source is PageSource.MODEL
                continue
            lowest = entry.confidence if lowest is None else min(lowest, entry.confidence)
            if entry.confidence < doubtful_below:
                doubted += 1
                doubtful = heapq.nsmallest(_MOST_DOUBTFUL, [*doubtful, entry], key=_confidence)
        return cls(
            *(file, read, blank, tuple(failed), tokens_in, tokens_out, flagged),
            *(tuple(doubtful), layers, fallback, doubted, unsure, lowest),
        )

    def __len__(self) -> int:
        return self.read + self.blank + len(self.failed)

    def __iter__(self) -> Iterator[PageEntry]:
        with files_at(self.file.parent).lines(self.file.name) as lines:
            listed = dropwhile(PAGES_BEGIN.__ne__, lines)
            next(listed, None)
            for line in takewhile(PAGES_END.__ne__, listed):
                yield PageEntry.model_validate_json(line.rstrip(",\n"))
