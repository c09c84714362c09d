"""How busy slots were and how long pages took, over the time of a run, in buckets whose number does not grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import exp, log

BUCKETS = 96
"""At the most; when time goes on beyond them, each two become one."""
_STEP = log(1.05)
"""Page times are counted in classes of 5 %: so exact are the quantiles, and so few are the classes."""


@dataclass
class Bucket:
    """A piece of time.

    Attributes:
        busy: seconds that slots worked on pages in it, added up.
        slots: that the run had, at the most.
        failed: pages that failed.
        times: how many pages that ended in it took how long, by classes of their seconds' logarithm.
    """

    busy: float = 0.0
    slots: int = 0
    failed: int = 0
    times: Counter[int] = field(default_factory=Counter)

    def add(self, other: Bucket) -> None:
        """Take another one in."""
        self.busy += other.busy
        self.slots = max(self.slots, other.slots)
        self.failed += other.failed
        self.times.update(other.times)


def quantile(times: Counter[int], share: float) -> float:
    """Seconds within which this share of pages was read; 0 if there was none."""
    left = share * times.total()
    for step in sorted(times):
        left -= times[step]
        if left <= 0:
            return exp(step * _STEP)
    return 0.0


class Timeline:
    """Told of pages as they end. Times are seconds on any one clock.

    Attributes:
        seconds: how long a bucket is.
        buckets: from the beginning on.
        pages: that were told of.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self.buckets: list[Bucket] = []
        self.pages = 0
        self._began: float | None = None
        self._ended = 0.0
        self._slots = 0

    def slots(self, at: float, slots: int) -> None:
        """So many slots there are from now on."""
        bucket = self._bucket(at)
        self._slots = slots
        bucket.slots = max(bucket.slots, slots)

    def page(self, ended: float, seconds: float, *, failed: bool) -> None:
        """A page ended, after so many seconds in its slot; 0 if it was in none, since it is blank."""
        self._bucket(ended)
        self.pages += 1
        self._ended = max(self._ended, ended - (self._began or 0.0))
        self.buckets[self._index(ended)].failed += failed
        if seconds <= 0:
            return
        self.buckets[self._index(ended)].times[round(log(max(seconds, 1e-3)) / _STEP)] += 1
        for index, busy in self._pieces(ended - seconds, ended):
            self.buckets[index].busy += busy

    @property
    def lasted(self) -> float:
        """Seconds from the beginning to the end of the last page."""
        return self._ended

    @property
    def times(self) -> Counter[int]:
        """Of all pages."""
        return sum((bucket.times for bucket in self.buckets), Counter())

    def occupancy(self, bucket: Bucket) -> float:
        """The part of a bucket's slot time in which pages were worked on, 0 to 1; of the last one as far as it went."""
        seconds = self.seconds
        if bucket is self.buckets[-1]:
            seconds = max(self._ended - (len(self.buckets) - 1) * self.seconds, 1e-3)
        return min(1.0, bucket.busy / (bucket.slots * seconds)) if bucket.slots else 0.0

    @property
    def mean_occupancy(self) -> float:
        """Of the whole, 0 to 1."""
        there = sum(bucket.slots * self.seconds for bucket in self.buckets[:-1])
        if self.buckets:
            there += self.buckets[-1].slots * max(0.0, self._ended - (len(self.buckets) - 1) * self.seconds)
        return min(1.0, sum(bucket.busy for bucket in self.buckets) / there) if there else 0.0

    def _index(self, at: float) -> int:
        return max(0, int((at - (self._began or 0.0)) / self.seconds))

    def _bucket(self, at: float) -> Bucket:
        """The one of a time; those before it are made with the slots that there were."""
        if self._began is None:
            self._began = at
        while self._index(at) >= BUCKETS:
            self._fold()
        while len(self.buckets) <= self._index(at):
            self.buckets.append(Bucket(slots=self._slots))
        return self.buckets[self._index(at)]

    def _fold(self) -> None:
        """Make one of each two."""
        self.seconds *= 2
        folded = self.buckets[::2]
        for bucket, other in zip(folded, self.buckets[1::2], strict=False):
            bucket.add(other)
        self.buckets = folded

    def _pieces(self, began: float, ended: float) -> Iterator[tuple[int, float]]:
        """How a span is spread over the buckets."""
        start, end = (max(0.0, at - (self._began or 0.0)) for at in (began, ended))
        for index in range(int(start / self.seconds), min(len(self.buckets), int(end / self.seconds) + 1)):
            low, high = index * self.seconds, (index + 1) * self.seconds
            yield index, max(0.0, min(end, high) - max(start, low))
