"""Right-sizing: which machine, with how many slots, is the cheapest that fits and is in time."""

from __future__ import annotations

from tasks.core.jobs import Frozen
from tasks.costs.assumptions import Assumptions, Range
from tasks.costs.price_book import Book, Term
from tasks.planning.architectures import estimates
from tasks.planning.estimate import Running, Shape
from tasks.planning.page_times import PageTimes

# GiB, as AWS's DescribeInstanceTypes has them (one GPU each).
VRAM_GIB = {
    "g4dn.xlarge": 16384 / 1024,
    "g4dn.2xlarge": 16384 / 1024,
    "g5.xlarge": 22888 / 1024,
    "g5.2xlarge": 22888 / 1024,
    "g6.xlarge": 22888 / 1024,
    "g6.2xlarge": 22888 / 1024,
}
_SLOTS = (1, 2, 4, 8, 16, 32)
_WAY = (Shape.SINGLE, Running.AUTO_STOP, Term.ON_DEMAND)


class Size(Frozen):
    """A machine and its slots, on demand with auto-stop."""

    instance_type: str
    slots: int
    vram_gib: float
    needs_gib: float
    total: Range
    usd: Range


def needs_gib(given: Assumptions, slots: int) -> float:
    """GPU memory of the weights and of each slot's KV cache, GiB."""
    cache = given.kv_kib_per_token * given.num_ctx * slots / 2**20
    return given.weights_gib + cache + given.vram_reserve_gib


def sizes(pages: int, given: Assumptions, times: PageTimes, book: Book) -> tuple[Size, ...]:
    """Every machine with every number of slots that fits, the cheapest first. GPUs are taken to be equally fast."""
    found = []
    for each, vram in VRAM_GIB.items():
        for slots in _SLOTS:
            if needs_gib(given, slots) > vram:
                continue
            tried = given.model_copy(update={"instance_type": each, "slots": slots, "usd_per_hour": None})
            for row in estimates(pages, tried, times, book, [_WAY]).rows:
                needs = needs_gib(given, slots)
                size = Size(
                    instance_type=each, slots=slots, vram_gib=vram, needs_gib=needs, total=row.total, usd=row.usd
                )
                found.append(size)
    return tuple(sorted(found, key=lambda size: (size.usd.typical, size.total.typical)))
