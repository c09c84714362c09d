"""The cheapest of the backends on AWS that keeps up with a workload, according to the plan. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.core.jobs import BackendName
from tasks.costs.assumptions import DAY_SECONDS, Assumptions
from tasks.costs.price_book import Book, Term
from tasks.planning.architectures import Way, estimates
from tasks.planning.estimate import Estimate, Running, Shape
from tasks.planning.page_times import PageTimes


@dataclass(frozen=True)
class Suits:
    """The recommended backend.

    Attributes:
        backend: None if none is suitable.
        why: the reason for either result, for display.
    """

    backend: BackendName | None
    why: str


def suitable(
    backends: Sequence[BackendName],
    pages: int,
    runs_a_day: float,
    max_usd: float,
    given: Mapping[BackendName, Assumptions],
    book: Book,
    term: Term,
    endpoint: Shape = Shape.SAGEMAKER_ASYNC,
) -> Suits:
    """Choose between deployed backends.

    Auto-stop is the cheapest for rare runs, always-on for frequent ones, which share its hours; and only backends with
    several machines can read more than one machine reads in a day.

    Args:
        backends: backends to choose from, in order of preference where two cost the same.
        pages: pages of a usual run.
        runs_a_day: runs per day of all users.
        max_usd: highest cost of a run, USD.
        given: assumptions about each backend.
        book: the price book.
        term: terms on which EC2 machines are bought.
        endpoint: kind of the SageMaker endpoint.
    """
    use = f"runs of {pages:,} pages, {runs_a_day:g} a day"
    best: dict[BackendName, Estimate] = {}
    for backend in dict.fromkeys(backends):
        own = given[backend].model_copy(update={"runs_a_day": runs_a_day})
        rows = estimates(pages, own, PageTimes(own), book, _ways(backend, term, endpoint)).rows
        fits = [row for row in rows if row.reading.high * runs_a_day <= DAY_SECONDS]
        if fits:
            best[backend] = min(fits, key=lambda row: row.usd.typical)
    if not best:
        names = ", ".join(backends)
        return Suits(None, f"{use}: none of {names} reads so much in a day, or the price book lacks their prices")
    order = sorted(best, key=lambda backend: best[backend].usd.typical)
    first = best[order[0]]
    told = f"{use}: {_told(order[0], first)}"
    if first.usd.high > max_usd:
        return Suits(None, f"{told}, at the most {first.usd.high:.3f}, is more than HEARTH_AUTO__MAX_USD ({max_usd:g})")
    others = [f"{_told(backend, best[backend])}" for backend in order[1:]]
    left_out = [backend for backend in dict.fromkeys(backends) if backend not in best]
    told += f" a run, is the cheapest{' before ' + ' and '.join(others) if others else ' that may be taken'}"
    told += f"; {', '.join(left_out)} cannot keep up, or has no price" if left_out else ""
    return Suits(order[0], told)


def _ways(backend: BackendName, term: Term, endpoint: Shape) -> list[Way]:
    match backend:
        case BackendName.EC2:
            return [(Shape.SINGLE, Running.AUTO_STOP, term), (Shape.SINGLE, Running.ALWAYS_ON, term)]
        case BackendName.ECS:
            return [(Shape.ECS, running, Term.ON_DEMAND) for running in (Running.AUTO_STOP, Running.ALWAYS_ON)]
        case BackendName.SAGEMAKER:
            return [
                (endpoint, Running.AUTO_STOP, Term.ON_DEMAND),
                (Shape.SAGEMAKER, Running.ALWAYS_ON, Term.ON_DEMAND),
            ]
    return []


def _told(backend: BackendName, row: Estimate) -> str:
    return f"{backend} ({row.name}) at about USD {row.usd.typical:.3f}"
