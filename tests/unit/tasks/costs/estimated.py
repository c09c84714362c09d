"""Plans of one day."""

from __future__ import annotations

from tasks.costs.assumptions import Assumptions, Range
from tasks.costs.price_book import Term, shipped_book
from tasks.planning.architectures import estimates
from tasks.planning.estimate import Estimate, Running, Shape
from tasks.planning.page_times import PageTimes


def table(assumptions: Assumptions, pages: int = 50) -> dict[tuple[Shape, Running, Term], Estimate]:
    found = estimates(pages, assumptions, PageTimes(assumptions), shipped_book()).rows
    return {(row.shape, row.running, row.term): row for row in found}


def ends(of: Range) -> tuple[float, float]:
    return of.low, of.high
