"""Right-sizing: the cheapest machine and number of slots that fit in GPU memory and meet the deadline."""

from itertools import product

from tasks.core.jobs import Frozen
from tasks.costs.assumptions import Assumptions, Range
from tasks.costs.price_book import Book, Term
from tasks.planning.architectures import estimates
from tasks.planning.estimate import Running, Shape
from tasks.planning.page_times import PageTimes

# GiB, from DescribeInstanceTypes (one GPU each).
VRAM_GIB = {
    **dict.fromkeys(("g4dn.xlarge", "g4dn.2xlarge"), 16384 / 1024),
    **dict.fromkeys(("g5.xlarge", "g5.2xlarge", "g6.xlarge", "g6.2xlarge"), 22888 / 1024),
}
_SLOTS = (1, 2, 4, 8, 16, 32)
_WAY = (Shape.SINGLE, Running.AUTO_STOP, Term.ON_DEMAND)


class Size(Frozen):
    """A machine and its number of slots, on demand with auto-stop."""

    instance_type: str
    slots: int
    vram_gib: float
    needs_gib: float
    total: Range
    usd: Range


def needs_gib(given: Assumptions, slots: int) -> float:
    """Return the GPU memory of the weights and of each slot's KV cache, GiB."""
    cache = given.kv_kib_per_token * given.num_ctx * slots / 2**20
    return given.weights_gib + cache + given.vram_reserve_gib


def sizes(pages: int, given: Assumptions, times: PageTimes, book: Book) -> tuple[Size, ...]:
    """Return every machine with every number of slots that fits, the cheapest first; all GPUs count as equally fast."""
    found = []
    for (name, vram), slots in product(VRAM_GIB.items(), _SLOTS):
        needs = needs_gib(given, slots)
        if needs > vram:
            continue
        assumed = given.model_copy(update={"instance_type": name, "slots": slots, "usd_per_hour": None})
        for row in estimates(pages, assumed, times, book, [_WAY]).rows:
            size = Size(instance_type=name, slots=slots, vram_gib=vram, needs_gib=needs, total=row.total, usd=row.usd)
            found.append(size)
    return tuple(sorted(found, key=lambda size: (size.usd.typical, size.total.typical)))
