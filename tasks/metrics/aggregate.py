"""The counts of a run: their memory depends on the number of metrics, not on the number of pages."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.metrics.names import Kind, Metric

Series = tuple[str, str]
"""A metric's name and the value of its label, or an empty text."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was counted until a moment.

    Attributes:
        counts: sums of counters.
        values: of gauges and histograms: how often each value occurred, to three significant digits.
    """

    counts: Mapping[Series, float] = field(default_factory=dict)
    values: Mapping[Series, Mapping[float, int]] = field(default_factory=dict)

    def since(self, before: Snapshot) -> Snapshot:
        """Return what was counted after an earlier snapshot."""
        counts = {series: count - before.counts.get(series, 0.0) for series, count in self.counts.items()}
        values = {series: Counter(seen) - Counter(before.values.get(series)) for series, seen in self.values.items()}
        return Snapshot(
            {series: count for series, count in counts.items() if count > 0},
            {series: seen for series, seen in values.items() if seen},
        )

    def plus(self, new: Snapshot) -> Snapshot:
        """Return the sum of both."""
        counts = {**self.counts}
        for series, count in new.counts.items():
            counts[series] = counts.get(series, 0.0) + count
        values = {series: Counter(seen) for series, seen in self.values.items()}
        for series, seen in new.values.items():
            values.setdefault(series, Counter()).update(seen)
        return Snapshot(counts, values)


def rounded(value: float) -> float:
    """Return a value to three significant digits: 900 values a decade, each within 0.5 %."""
    return float(f"{value:.3g}")


class Aggregate:
    """Counts from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Series, float] = {}
        self._values: defaultdict[Series, Counter[float]] = defaultdict(Counter)

    def add(self, metric: Metric, value: float = 1, label: str = "") -> None:
        """Add to a counter, or note a value of a gauge or histogram."""
        series = (metric.name, label)
        with self._lock:
            if metric.kind is Kind.COUNTER:
                self._counts[series] = self._counts.get(series, 0.0) + value
            else:
                self._values[series][rounded(value)] += 1

    def snapshot(self) -> Snapshot:
        """Return what was counted so far."""
        with self._lock:
            return Snapshot(dict(self._counts), {series: dict(seen) for series, seen in self._values.items()})
