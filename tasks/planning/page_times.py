"""How long pages take to read: one run on warm machines is simulated, with measured or assumed page times."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tasks.costs.assumptions import Assumptions, Range
from tasks.simulation.fleet import reading_seconds
from tasks.simulation.scenario import Clock

_DRAWS = 5
_MAX_PAGES = 5_000
"""The slowest of more pages is hardly slower."""


@dataclass(frozen=True)
class PageTimes:
    """The distribution of page times.

    Attributes:
        measured: page times of earlier runs, seconds; the assumed distribution is used if empty.
        source: where the page times come from, for display.
    """

    assumed: Assumptions
    measured: tuple[float, ...] = ()
    source: str = "assumed"
    _cache: dict[tuple[int, int, int], Range] = field(default_factory=dict, compare=False, repr=False)

    def reading(self, pages: int, slots: int, machines: int = 1) -> Range:
        """Return the seconds until the slots of all machines have read the pages."""
        key = pages, slots, machines
        if key not in self._cache:
            self._cache[key] = self._simulate(lambda clock: reading_seconds(*key, self.assumed, clock))
        return self._cache[key]

    def longest(self, pages: int) -> Range:
        """Return the seconds of the slowest page where each has a machine of its own."""
        return self._simulate(lambda clock: max(clock.seconds(1, 1) for _ in range(min(pages, _MAX_PAGES))))

    def _simulate(self, seconds: Callable[[Clock], float]) -> Range:
        """Return the least, the mean and the most of some draws at the low, typical and high page time."""
        given = self.assumed
        low, typical, high = (
            [
                seconds(Clock(given.model_copy(update={"page_seconds": Range.exactly(level)}), self.measured, draw))
                for draw in range(_DRAWS)
            ]
            for level in (given.page_seconds.low, given.page_seconds.typical, given.page_seconds.high)
        )
        mean = sum(typical) / _DRAWS
        return Range(low=min(*low, mean), typical=mean, high=max(*high, mean))
