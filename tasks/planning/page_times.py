"""How long pages take to read: simulated, with times that were measured or are assumed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tasks.costs.assumptions import Assumptions, Range
from tasks.simulation.one_run import reading_seconds
from tasks.simulation.scenario import Clock

_DRAWS = 5
_MOST_DRAWN = 5_000
"""The slowest of more pages is hardly slower."""


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
    _known: dict[tuple[int, int, int], Range] = field(default_factory=dict, compare=False, repr=False)

    def reading(self, pages: int, slots: int, machines: int = 1) -> Range:
        """Seconds until so many pages are read, over the slots of all machines."""
        asked = pages, slots, machines
        if asked not in self._known:
            self._known[asked] = self._each(lambda clock: reading_seconds(*asked, self.assumed, clock))
        return self._known[asked]

    def longest(self, pages: int) -> Range:
        """Seconds of the slowest page, each on a machine of its own."""
        return self._each(lambda clock: max(clock.seconds(1, 1) for _ in range(min(pages, _MOST_DRAWN))))

    def _each(self, of: Callable[[Clock], float]) -> Range:
        """At the low, typical and high end of what is assumed: the least, the mean and the most of some draws."""
        given = self.assumed
        low, typical, high = (
            [
                of(Clock(given.model_copy(update={"page_seconds": Range.exactly(level)}), self.measured, turn))
                for turn in range(_DRAWS)
            ]
            for level in (given.page_seconds.low, given.page_seconds.typical, given.page_seconds.high)
        )
        mean = sum(typical) / _DRAWS
        return Range(low=min(*low, mean), typical=mean, high=max(*high, mean))
