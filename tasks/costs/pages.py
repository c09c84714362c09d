"""How long pages take: drawn from measured ones, or from what is assumed; the same draws for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tasks.costs.assumptions import Assumptions, Range
from tasks.costs.schedule import makespan

_DRAWS = 5
# Beyond so many pages the ends of the schedule no longer matter: the rest is read at the slots' full rate.
_SCHEDULED = 5_000


@dataclass(frozen=True)
class PageTimes:
    """Where page times are drawn from.

    Attributes:
        measured: seconds of pages that were read; drawn from if there are any.
        source: what to say of them.
    """

    assumed: Assumptions
    measured: tuple[float, ...] = ()
    source: str = "assumed"

    def reading(self, pages: int, slots: int, machines: int = 1) -> Range:
        """Seconds until so many pages are read, over the slots of all machines."""
        return self._each(slots, lambda draw: _until_all(draw, pages, slots * machines))

    def longest(self, pages: int) -> Range:
        """Seconds of the slowest page, each on a machine of its own."""
        return self._each(1, lambda draw: _until_all(draw, min(pages, _SCHEDULED), min(pages, _SCHEDULED)))

    def _each(self, slots: int, of: Callable[[Callable[[], float]], float]) -> Range:
        low, typical, high = (
            [of(self._draw(level, slots, turn)) for turn in range(_DRAWS)] for level in ("low", "typical", "high")
        )
        mean = _mean(typical)
        return Range(low=min(*low, mean), typical=mean, high=max(*high, mean))

    def _draw(self, level: str, slots: int, turn: int) -> Callable[[], float]:
        given = self.assumed
        stream = random.Random(f"{given.seed} {turn}")  # noqa: S311 - not for secrets
        slow = given.slowdown_per_slot
        factor = (1 + slow * (slots - 1)) / (1 + slow * (given.page_seconds_slots - 1))
        if self.measured:
            return lambda: factor * stream.choice(self.measured)
        median = factor * float(getattr(given.page_seconds, level))
        return lambda: median * stream.lognormvariate(0, given.page_sigma)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _until_all(draw: Callable[[], float], pages: int, slots: int) -> float:
    times = [draw() for _ in range(min(pages, _SCHEDULED))]
    if pages <= _SCHEDULED:
        return makespan(times, slots)
    if slots * 2 > _SCHEDULED:  # too many slots for a schedule of so few pages: whole rounds
        return -(-pages // slots) * _mean(times)
    return makespan(times, slots) + (pages - _SCHEDULED) * _mean(times) / slots
