"""Numbers of some pages."""

from __future__ import annotations

from tasks.metrics import names
from tasks.metrics.aggregate import Aggregate

WHOSE = ("night", "qwen2.5vl:7b")


def some_pages(count: int = 3) -> Aggregate:
    aggregate = Aggregate()
    for number in range(count):
        aggregate.add(names.PAGES, label="read")
        aggregate.add(names.PAGE_SECONDS, number + 1.0)
        aggregate.add(names.IN_FLIGHT, 4)
    return aggregate
