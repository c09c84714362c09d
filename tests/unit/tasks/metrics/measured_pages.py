"""Numbers of some pages."""

from __future__ import annotations

from tasks.metrics import names
from tasks.metrics.aggregate import Aggregate

WHOSE = ("night", "qwen2.5vl:7b")


def some_pages(count: int = 3) -> Aggregate:
    aggregate = Aggregate()
    for number in range(count):
        aggregate.count(names.PAGES, label="read")
        aggregate.see(names.PAGE_SECONDS, number + 1.0)
        aggregate.see(names.IN_FLIGHT, 4)
    return aggregate
