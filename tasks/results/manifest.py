"""The manifest of a run, with a versioned schema.

Its file lists every page; in memory it holds only those that failed: see `tasks.results.listing`.
"""

from __future__ import annotations

import operator
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Literal

from pydantic import Field

from tasks.core.flags import Flag, FlagName
from tasks.core.jobs import LAYER_VERSION, Document, Frozen, ReadOptions
from tasks.results.listing import DOUBTFUL, Listing
from tasks.results.page import SCHEMA_VERSION, PageEntry, PageStatus
from tasks.results.usage import CostShares, EndpointRecord, Insight, MachineRecord, Spread
from tasks.storage.files import StoragePath


class RunStatus(StrEnum):
    """How a run ended."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    """Finished, but some pages failed."""
    STOPPED = "stopped"
    """It could not go on; pages that were read stand."""


class RequestRecord(Frozen):
    """What was sent for each page of a run: by the model's profile, and by what a person or the settings asked for.

    Attributes:
        prompt: sent with each image; empty for the image alone.
        longest_side: of the images, pixels.
        num_ctx: context, tokens.
        num_predict: most tokens of an answer.
        json_schema: that the answers follow, as text; empty for Markdown.
    """

    profile: str
    prompt: str
    longest_side: int
    num_ctx: int
    num_predict: int
    json_schema: str = Field("", exclude_if=operator.not_)


class LayerTally(Frozen):
    """The pages of a document that are taken from its own text.

    Attributes:
        pages: taken instead of asking a model.
        fallback: taken because the model failed at them.
        version: of what extracted and judged them.
    """

    pages: int
    fallback: int = 0
    version: int = LAYER_VERSION

    @classmethod
    def of(cls, pages: Listing) -> LayerTally | None:
        """Return the tally of pages; None if none of them is taken from its text layer."""
        return cls(pages=pages.layers, fallback=pages.fallback) if pages.layers or pages.fallback else None


class Manifest(Frozen):
    """The record of a run, as manifest.json holds it.

    Attributes:
        options: what decides which stored pages are found again.
        request: what was sent; None in manifests of earlier versions.
        pages: pages that stand; the file lists them as entries, in order.
        read_now: how many of the pages this run read; the others stood already.
        endpoint: the server; None if nothing was left to read, so that none was needed.
        warm_seconds: from the request for a server to the first page's start.
        read_seconds: from the first page's start to the last page's end.
        page_seconds: seconds in slots of the pages that this run read, added up.
        first_token: seconds from the request to the first token, of the pages that this run read; None if it read none.
        machines: machines that were paid for, in the order in which they were taken.
        cost_usd: cost of these machines, as far as their prices are known; 0 for the backends of this machine and for
            servers that others pay for.
        shares: the same cost by its causes; None if no machine was paid for.
        insight: where time and money went; None if nothing was read.
        text_layer: how many pages come from the document's own text; None if none do.
        flags: what a person should know of the document as a whole.
        doubtful_below: confidence below which a page is doubtful.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    status: RunStatus
    document: Document
    model: str
    digest: str
    options: ReadOptions
    request: RequestRecord | None = None
    endpoint: EndpointRecord | None
    pages: Listing = Field(exclude=True)
    read_now: int
    started_at: datetime
    finished_at: datetime
    warm_seconds: float = 0.0
    read_seconds: float = 0.0
    page_seconds: float = 0.0
    first_token: Spread | None = Field(None, exclude_if=operator.not_)
    machines: tuple[MachineRecord, ...] = ()
    cost_usd: float = 0.0
    shares: CostShares | None = None
    insight: Insight | None = None
    # A version that does not know of text layers could not read the entries of such pages: it finds no manifest at all.
    text_layer: LayerTally | None = Field(None, exclude_if=lambda value: value is None)
    flags: tuple[Flag, ...] = Field((), exclude_if=operator.not_)
    flow_run_id: str | None = None
    output: StoragePath
    # Left out at its default, so that versions without it can read all other manifests.
    doubtful_below: float = Field(DOUBTFUL, exclude_if=lambda value: value == DOUBTFUL)

    def count(self, *statuses: PageStatus) -> int:
        """Return how many pages have one of these statuses."""
        counts = {PageStatus.READ: self.pages.read, PageStatus.BLANK: self.pages.blank}
        return sum(counts.get(status, len(self.failed)) for status in statuses)

    @property
    def failed(self) -> tuple[PageEntry, ...]:
        """The pages that failed."""
        return self.pages.failed

    @property
    def changed(self) -> bool:
        """Whether the document was changed while it was read, so that the results are of what it was."""
        return any(flag.name is FlagName.CHANGED for flag in self.flags)

    @property
    def has_data(self) -> bool:
        """Whether the answers follow a JSON Schema and data.jsonl is written."""
        return bool(self.options.schema_sha256) and self.status is not RunStatus.STOPPED

    def flagged(self, most: int) -> list[PageEntry]:
        """Return the first `most` pages that are flagged and did not fail, from the manifest's file."""
        flagged = (entry for entry in self.pages if entry.flags and entry.status is not PageStatus.FAILED)
        return list(islice(flagged, most)) if self.pages.flagged else []

    def totals(self) -> dict[str, Any]:
        """Return the run in figures, for a summary or a program."""
        minutes = self.read_seconds / 60
        return {
            "status": self.status.value,
            "pages": len(self.pages),
            "read": self.pages.read,
            "blank": self.pages.blank,
            "failed": len(self.failed),
            "flagged": self.pages.flagged,
            "text_layer": self.pages.layers,
            "fallback": self.pages.fallback,
            "turned": self.pages.turned,
            "straightened": self.pages.straightened,
            "doubtful": self.pages.doubted,
            "confidence_unknown": self.pages.unsure,
            "confidence": self.pages.confidence,
            "read_now": self.read_now,
            "slots": self.endpoint.slots if self.endpoint else 0,
            "slots_seen": self.endpoint.slots_proven if self.endpoint else 0,
            "warm_seconds": round(self.warm_seconds, 3),
            "read_seconds": round(self.read_seconds, 3),
            "first_token_seconds": self.first_token.model_dump() if self.first_token else None,
            "pages_per_minute": round(self.read_now / minutes, 1) if minutes else 0.0,
            "tokens_in": self.pages.tokens_in,
            "tokens_out": self.pages.tokens_out,
            "cost_usd": self.cost_usd,
        }
