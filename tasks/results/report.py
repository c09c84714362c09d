"""The report of a batch: a row for each document, and the sums, as Markdown and CSV."""

from __future__ import annotations

import csv
import io
import operator
from datetime import datetime

from pydantic import Field

from tasks.core.escaping import escape_line
from tasks.core.jobs import Frozen
from tasks.core.paths import parse_path
from tasks.results.rows import DocumentStatus, Row
from tasks.results.usage import Spread
from tasks.storage.files import StoragePath, files_at
from tasks.text.markdown import link, table


class Report(Frozen):
    """The report of a batch.

    Attributes:
        minutes: from its start to its end.
        usd: cost of the machines while it held them.
        stopped: why pages are left; empty if none are.
        first_token: seconds from a page's request to its first token; None if nothing was read, or if it was read in
            parts.
        insight: where time and money went; empty if nothing was read.
    """

    started_at: datetime
    minutes: float
    usd: float
    rows: tuple[Row, ...]
    stopped: str = ""
    first_token: Spread | None = Field(None, exclude_if=operator.not_)
    insight: str = ""

    @property
    def pages(self) -> int:
        """Pages that were read."""
        return sum(row.read_now for row in self.rows)

    @property
    def failed(self) -> int:
        """Pages that failed."""
        return sum(row.failed for row in self.rows)

    @property
    def flagged(self) -> int:
        """Pages that were read, but are flagged."""
        return sum(row.flagged for row in self.rows)

    @property
    def doubtful(self) -> list[Row]:
        """The documents with doubtful pages, the least confident first."""
        return sorted((row for row in self.rows if row.doubtful), key=lambda row: row.confidence or 0.0)

    def count(self, status: DocumentStatus) -> int:
        """Return how many documents have this status."""
        return sum(row.status is status for row in self.rows)

    @property
    def usd_per_thousand(self) -> float | None:
        """USD for a thousand pages; None if none was read."""
        return self.usd / self.pages * 1000 if self.pages else None

    def totals(self) -> dict[str, str]:
        """Return the sums, for people."""
        documents = ", ".join(f"{count} {status}" for status in DocumentStatus if (count := self.count(status)))
        rate = self.usd_per_thousand
        doubtful, unsure = sum(row.doubtful for row in self.rows), sum(row.unsure for row in self.rows)
        return {
            "documents": f"{len(self.rows)}: {documents}" if self.rows else "0",
            "pages read": f"{self.pages}, {self.failed} failed" + (f", {self.flagged} flagged" if self.flagged else ""),
            **({"doubtful pages": f"{doubtful}, in {len(self.doubtful)} documents"} if doubtful else {}),
            **({"confidence unknown": f"{unsure} pages"} if unsure else {}),
            "minutes": f"{self.minutes:.1f}",
            **({"first token": str(self.first_token)} if self.first_token else {}),
            "USD": f"{self.usd:.4f}",
            "USD a thousand pages": "-" if rate is None else f"{rate:.2f}",
            **({"left for the next run": self.stopped} if self.stopped else {}),
        }

    def markdown(self) -> str:
        """Return the report as Markdown; unchanged documents are only counted."""
        rows = [row for row in self.rows if row.status is not DocumentStatus.UNCHANGED]
        lines = [f"# Batch of {self.started_at:%Y-%m-%d %H:%M} UTC", ""]
        lines += table(("", ""), (map(_cell, line) for line in self.totals().items()))
        lines += ["", self.insight] if self.insight else []
        if doubtful := self.doubtful:
            lines += ["", "## Doubtful documents", "", "The least confident first.", ""]
            lines += table(("document", "confidence", "doubtful pages", "text"), map(_doubt, doubtful))
            lines += ["", "## All documents"]
        head = ("document", "status", "pages", "read now", "failed", "confidence", "page seconds", "USD", "why", "text")
        lines += ["", *table(head, ((*map(_cell, _cells(row)), _text(row)) for row in rows))] if rows else []
        return "\n".join(lines) + "\n"

    def path(self, output: StoragePath) -> StoragePath:
        """Return the path of the report as Markdown; the CSV is beside it."""
        return output / "batches" / f"{self.started_at:%Y%m%dT%H%M%S}.md"

    def write(self, output: StoragePath) -> StoragePath:
        """Write it as Markdown and CSV into `batches` below the results, and return the Markdown's path.

        Raises:
            StorageError: it cannot be written.
        """
        path = self.path(output)
        files = files_at(path.parent)
        files.mkdir()
        files.write(path.name, [self.markdown()])
        files.write(f"{path.stem}.csv", [self.csv()])
        return path

    def csv(self) -> str:
        """Return the report as CSV with a header, a row for each document."""
        text = io.StringIO()
        writer = csv.DictWriter(text, Row.model_fields, lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow(
                {n: escape_line(v) if isinstance(v, str) else v for n, v in row.model_dump(mode="json").items()}
            )
        return text.getvalue()


def _cells(row: Row) -> tuple[str, ...]:
    figures = (row.pages, row.read_now, row.failed)
    costs = (f"{row.page_seconds:.1f}", f"{row.usd:.4f}")
    return (row.document, row.status, *map(str, figures), _confidence(row), *costs, row.why)


def _confidence(row: Row) -> str:
    known = "" if row.confidence is None else f"{row.confidence:.2f}"
    return known or ("unknown" if row.unsure else "")


def _doubt(row: Row) -> tuple[str, ...]:
    return (_cell(row.document), _confidence(row), str(row.doubtful), _text(row))


def _text(row: Row) -> str:
    return link(parse_path(row.text)) if row.text else ""


def _cell(text: str) -> str:
    return escape_line(text.replace("|", "\\|").replace("\n", " "))
