"""Use of slots and durations of pages over the time of a run, in a limited number of buckets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import exp, log

BUCKETS = 96
"""Most buckets; when a run lasts longer, every two are merged."""
_STEP = log(1.05)
"""Page times are counted in classes of 5 %, which is the precision of the quantiles."""


@dataclass
class Bucket:
    """A span of time.

    Attributes:
        busy: sum of the seconds in which slots worked on pages.
        slots: most slots that the run had.
        times: number of pages that ended in it, by class of the logarithm of their seconds.
    """

    busy: float = 0.0
    slots: int = 0
    failed: int = 0
    times: Counter[int] = field(default_factory=Counter)

    def add(self, other: Bucket) -> None:
        """Merge another bucket into this one."""
        self.busy += other.busy
        self.slots = max(self.slots, other.slots)
        self.failed += other.failed
        self.times.update(other.times)


def quantile(times: Counter[int], share: float) -> float:
    """Return the seconds within which this share of pages was read; 0 without pages."""
    left = share * times.total()
    for step in sorted(times):
        left -= times[step]
        if left <= 0:
            return exp(step * _STEP)
    return 0.0


class Timeline:
    """Collects pages as they end. Times are seconds on one clock, whichever it is.

    Attributes:
        seconds: length of a bucket.
        buckets: from the start of the run on.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self.buckets: list[Bucket] = []
        self.pages = 0
        self._began: float | None = None
        self._ended = 0.0
        self._slots = 0

    def slots(self, at: float, slots: int) -> None:
        """Set the number of slots from this time on."""
        bucket = self._bucket(at)
        self._slots = slots
        bucket.slots = max(bucket.slots, slots)

    def page(self, ended: float, seconds: float, *, failed: bool) -> None:
        """Add a page that ended after this many seconds in its slot; 0 for a blank page, which used none."""
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
        """Seconds from the start to the end of the last page."""
        return self._ended

    @property
    def times(self) -> Counter[int]:
        """The times of all pages."""
        return sum((bucket.times for bucket in self.buckets), Counter())

    def occupancy(self, bucket: Bucket) -> float:
        """Return the share of a bucket's slot time that was busy, 0 to 1; the last one counts up to the last page."""
        seconds = self.seconds
        if bucket is self.buckets[-1]:
            seconds = max(self._ended - (len(self.buckets) - 1) * self.seconds, 1e-3)
        return min(1.0, bucket.busy / (bucket.slots * seconds)) if bucket.slots else 0.0

    @property
    def mean_occupancy(self) -> float:
        """The busy share of all slot time, 0 to 1."""
        there = sum(bucket.slots * self.seconds for bucket in self.buckets[:-1])
        if self.buckets:
            there += self.buckets[-1].slots * max(0.0, self._ended - (len(self.buckets) - 1) * self.seconds)
        return min(1.0, sum(bucket.busy for bucket in self.buckets) / there) if there else 0.0

    def _index(self, at: float) -> int:
        return max(0, int((at - (self._began or 0.0)) / self.seconds))

    def _bucket(self, at: float) -> Bucket:
        """Return the bucket of a time; missing ones before it are created with the current slots."""
        if self._began is None:
            self._began = at
        while self._index(at) >= BUCKETS:
            self._fold()
        while len(self.buckets) <= self._index(at):
            self.buckets.append(Bucket(slots=self._slots))
        return self.buckets[self._index(at)]

    def _fold(self) -> None:
        """Merge every two buckets."""
        self.seconds *= 2
        folded = self.buckets[::2]
        for bucket, other in zip(folded, self.buckets[1::2], strict=False):
            bucket.add(other)
        self.buckets = folded

    def _pieces(self, began: float, ended: float) -> Iterator[tuple[int, float]]:
        """Yield the seconds of a span in each bucket."""
        start, end = (max(0.0, at - (self._began or 0.0)) for at in (began, ended))
        for index in range(int(start / self.seconds), min(len(self.buckets), int(end / self.seconds) + 1)):
            low, high = index * self.seconds, (index + 1) * self.seconds
            yield index, max(0.0, min(end, high) - max(start, low))
