"""A complete plan: the estimates of all architectures, the recommended one, and the reason."""

from datetime import date

from tasks.core.durations import format_duration
from tasks.core.jobs import Frozen
from tasks.costs.assumptions import DAY_SECONDS, Assumptions
from tasks.costs.price_book import HOME_REGION, STALE_DAYS, Book
from tasks.planning.architectures import estimates
from tasks.planning.estimate import Estimate, Running, Shape
from tasks.planning.page_times import PageTimes
from tasks.planning.sizing import Size, sizes

_NOTHING = "No page is left to a model: nothing is started, and it costs nothing."


class CostPlan(Frozen):
    """The result of `hearth plan`.

    Attributes:
        best: the recommended estimate; None if none meets the deadline and the budget.
        size: the cheapest machine and number of slots that meet the deadline; None if there is none.
        notes: sentences about prices and page times.
    """

    pages: int
    deadline_seconds: float | None
    budget_usd: float | None
    given: Assumptions
    rows: tuple[Estimate, ...]
    best: Estimate | None
    size: Size | None
    verdict: str
    notes: tuple[str, ...]


def cost_plan(
    pages: int,
    given: Assumptions,
    times: PageTimes,
    book: Book,
    today: date,
    deadline: float | None = None,
    budget: float | None = None,
    stale_days: int = STALE_DAYS,
) -> CostPlan:
    """Compare all architectures.

    Without pages there is nothing to compare. A deadline (seconds) or a budget (USD) is met only if the high end of the
    range meets it. A note warns about prices that were read more than `stale_days` before today.
    """
    if pages == 0:
        return CostPlan(
            pages=0,
            deadline_seconds=deadline,
            budget_usd=budget,
            given=given,
            rows=(),
            best=None,
            size=None,
            verdict=_NOTHING,
            notes=(),
        )
    found = estimates(pages, given, times, book)
    fits = [row for row in found.rows if _meets(row.total.high, deadline) and _meets(row.usd.high, budget)]
    candidates = [row for row in fits if _may_win(row, given)]
    by_time = budget is not None and deadline is None
    best = min(candidates, key=lambda row: _rank(row, by_time=by_time), default=None)
    size = next((size for size in sizes(pages, given, times, book) if _meets(size.total.high, deadline)), None)
    notes = [f"Page times: {times.source}."]
    if stale := book.stale(found.prices, today, stale_days):
        old = ", ".join(f"{label} ({day})" for label, day in sorted(stale.items()))
        notes.append(f"Prices older than {stale_days} days: {old}. `hearth prices refresh` asks AWS for today's.")
    unsure = sorted({price.label for price in found.prices if not price.checked})
    if unsure:
        notes.append(f"Prices not verified, or spot prices of one moment: {', '.join(unsure)}.")
    if found.unpriced:
        notes.append(f"Left out, because the book has no price: {'; '.join(found.unpriced)}.")
    notes.append("Fargate has no GPUs: its estimate is for the OCR model tesseract:eng, and it is never recommended.")
    if given.region != HOME_REGION:
        notes.append(
            f"Where the book has no regional price, disks, addresses, load balancer and function have {HOME_REGION}'s "
            "prices."
        )
    return CostPlan(
        pages=pages,
        deadline_seconds=deadline,
        budget_usd=budget,
        given=given,
        rows=tuple(sorted(found.rows, key=lambda row: (row.usd.typical, row.total.typical))),
        best=best,
        size=size,
        verdict=_verdict(best, candidates, size, deadline, budget),
        notes=tuple(notes),
    )


def _meets(value: float, limit: float | None) -> bool:
    return limit is None or value <= limit


def _may_win(row: Estimate, given: Assumptions) -> bool:
    """Whether a row can be recommended: not if it uses another model, is paid for by others, or cannot keep up."""
    if row.shape is Shape.FARGATE:
        return False
    if row.running is Running.ALWAYS_ON:
        return row.total.high <= DAY_SECONDS / given.runs_a_day
    return row.running is not Running.WARM


def _rank(row: Estimate, *, by_time: bool) -> tuple[float, float]:
    pair = row.usd.typical, row.total.typical
    return (pair[1], pair[0]) if by_time else pair


def _verdict(
    best: Estimate | None,
    candidates: list[Estimate],
    size: Size | None,
    deadline: float | None,
    budget: float | None,
) -> str:
    limits = [
        *([f"{format_duration(deadline)}"] if deadline is not None else []),
        *([f"USD {budget:.2f}"] if budget is not None else []),
    ]
    if best is None:
        return (
            f"No option stays within {' and '.join(limits)} at the slow end of its range. Allow more, or read fewer "
            "pages at a time."
        )
    aim = "Fastest" if budget is not None and deadline is None else "Cheapest"
    within = f" within {' and '.join(limits)}" if limits else ""
    text = f"{aim}{within}: {best.name}: {format_duration(best.total.typical)}, USD {best.usd.typical:.3f}"
    share = best.reading.typical / best.billed.typical if best.billed.typical else 1.0
    text += f", because each machine is paid for {format_duration(best.billed.typical)}, {share:.0%} of it reading"
    if start := best.boot.typical + best.load.typical:
        text += f", and starts in {format_duration(start)}"
    others = sorted((row for row in candidates if row.shape is not best.shape), key=lambda row: row.usd.typical)
    if others:
        text += f"; next is {others[0].name}, USD {others[0].usd.typical:.3f}"
    text += "."
    if size is not None:
        text += (
            f" The cheapest single on-demand machine that fits is {size.instance_type} with {size.slots} slots "
            f"({size.needs_gib:.1f} of {size.vram_gib:.1f} GiB GPU memory)."
        )
    return text
