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
_MOST_TURNED = 20


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
        turned: how many pages were turned before they were read.
        straightened: how many were straightened.
        first_turned: the first 20 pages that were turned, in order.
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
    turned: int = 0
    straightened: int = 0
    first_turned: tuple[PageEntry, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[PageEntry], file: StoragePath, doubtful_below: float = DOUBTFUL) -> Listing:
        """Count pages."""
        read = blank = tokens_in = tokens_out = flagged = doubted = unsure = layers = fallback = turned = (
            straightened
        ) = 0
        lowest: float | None = None
        failed, doubtful, first_turned = [], list[PageEntry](), list[PageEntry]()
        for entry in entries:
            read += entry.status is PageStatus.READ
            blank += entry.status is PageStatus.BLANK
            tokens_in += entry.tokens_in
            tokens_out += entry.tokens_out
            layers += entry.source is PageSource.TEXT_LAYER
            fallback += entry.source is PageSource.TEXT_LAYER_FALLBACK
            if entry.correction is not None:
                turned += bool(entry.correction.turned)
                straightened += bool(entry.correction.straightened)
                first_turned += [entry] if entry.correction.turned and len(first_turned) < _MOST_TURNED else []
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
            *(turned, straightened, tuple(first_turned)),
        )

    @property
    def corrections(self) -> str:
        """Which pages were turned, and how many straightened, for people; empty if none were."""
        parts = [f"page {entry.page} {entry.correction}" for entry in self.first_turned]
        parts += [f"{more} more turned"] if (more := self.turned - len(parts)) else []
        return "; ".join([*parts, *([f"{self.straightened} straightened"] if self.straightened else [])])

    def __len__(self) -> int:
        return self.read + self.blank + len(self.failed)

    def __iter__(self) -> Iterator[PageEntry]:
        with files_at(self.file.parent).lines(self.file.name) as lines:
            listed = dropwhile(PAGES_BEGIN.__ne__, lines)
            next(listed, None)
            for line in takewhile(PAGES_END.__ne__, listed):
                yield PageEntry.model_validate_json(line.rstrip(",\n"))
