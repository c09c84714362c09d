"""What a run has counted so far: its memory depends on how many metrics there are, not on how many pages."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.metrics.names import Kind, Metric

Series = tuple[str, str]
"""A metric's name and the value of its label, or an empty text."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was counted until a moment.

    Attributes:
        counts: of counters.
        values: of the others: how often each value was seen. Values have three significant digits.
    """

    counts: Mapping[Series, float] = field(default_factory=dict)
    values: Mapping[Series, Mapping[float, int]] = field(default_factory=dict)

    def since(self, before: Snapshot) -> Snapshot:
        """What has come since an earlier one."""
        counts = {series: count - before.counts.get(series, 0.0) for series, count in self.counts.items()}
        values = {
            series: {
                value: count - earlier
                for value, count in seen.items()
                if count > (earlier := before.values.get(series, {}).get(value, 0))
            }
            for series, seen in self.values.items()
        }
        return Snapshot(
            {series: count for series, count in counts.items() if count > 0},
            {series: seen for series, seen in values.items() if seen},
        )

    def plus(self, new: Snapshot) -> Snapshot:
        """It, and what came after."""
        counts = {**self.counts}
        for series, count in new.counts.items():
            counts[series] = counts.get(series, 0.0) + count
        values = {series: Counter(seen) for series, seen in self.values.items()}
        for series, seen in new.values.items():
            values.setdefault(series, Counter()).update(seen)
        return Snapshot(counts, values)


def rounded(value: float) -> float:
    """To three significant digits: so there are 900 values a decade, each within 0.5 %."""
    return float(f"{value:.3g}")


class Aggregate:
    """Counts, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Series, float] = {}
        self._values: dict[Series, Counter[float]] = {}

    def count(self, metric: Metric, by: float = 1, label: str = "") -> None:
        """Add to a counter."""
        if metric.kind is not Kind.COUNTER:
            raise AssertionError(f"{metric.name} is no counter")
        with self._lock:
            series = (metric.name, label)
            self._counts[series] = self._counts.get(series, 0.0) + by

    def see(self, metric: Metric, value: float, label: str = "") -> None:
        """Note a value."""
        if metric.kind is Kind.COUNTER:
            raise AssertionError(f"{metric.name} is a counter")
        with self._lock:
            self._values.setdefault((metric.name, label), Counter())[rounded(value)] += 1

    def snapshot(self) -> Snapshot:
        """What was counted so far."""
        with self._lock:
            return Snapshot(dict(self._counts), {series: dict(seen) for series, seen in self._values.items()})
