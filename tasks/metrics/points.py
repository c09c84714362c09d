"""The machine's metrics for Prometheus and OpenTelemetry: totals that only grow, and current gauges."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tasks.metrics.live import LiveRun
from tasks.metrics.names import IN_FLIGHT, OF_RUNS, SLOT_USE, SLOTS, UNPROVEN, Kind, Metric
from tasks.metrics.totals import Totals, Whose


@dataclass(frozen=True, slots=True)
class Distribution:
    """The value of a histogram.

    Attributes:
        counts: of each bucket of the metric, and of the values over the last one.
        total: the sum of all values.
    """

    counts: tuple[int, ...]
    total: float


@dataclass(frozen=True, slots=True)
class Point:
    """A metric's value for one set of labels."""

    labels: Mapping[str, str]
    value: float | Distribution


def points(totals: Totals, runs: Iterable[LiveRun]) -> Iterator[tuple[Metric, list[Point]]]:
    """Yield each metric with its points, of the machine's totals and its current runs."""
    now = _now(runs)
    for metric in OF_RUNS:
        if metric.kind is Kind.GAUGE:
            yield metric, [Point(_labels(whose), gauges[metric]) for whose, gauges in now.items() if metric in gauges]
        else:
            yield metric, list(_counted(metric, totals))


def _counted(metric: Metric, totals: Totals) -> Iterator[Point]:
    for whose, total in totals.items():
        if metric.kind is Kind.COUNTER:
            # From 0 on: for a new series, such as a first failure, Prometheus counts no increase.
            for label in metric.words or ("",):
                yield Point(_labels(whose, metric, label), total.counts.get((metric.name, label), 0.0))
        for (name, label), seen in total.values.items():
            if name == metric.name:
                yield Point(_labels(whose, metric, label), _distribution(metric, seen))


def _distribution(metric: Metric, seen: Mapping[float, int]) -> Distribution:
    counts = [0] * (len(metric.buckets) + 1)
    for value, count in seen.items():
        counts[bisect_left(metric.buckets, value)] += count
    return Distribution(tuple(counts), sum(value * count for value, count in seen.items()))


def _now(runs: Iterable[LiveRun]) -> dict[Whose, dict[Metric, float]]:
    """Return the gauges, added up for runs of the same pool and model."""
    grouped: dict[Whose, list[LiveRun]] = {}
    for run in runs:
        grouped.setdefault((run.pool, run.model), []).append(run)
    return {whose: _gauges(group) for whose, group in grouped.items()}


def _gauges(runs: list[LiveRun]) -> dict[Metric, float]:
    gauges: dict[Metric, float] = {
        IN_FLIGHT: sum(run.in_flight for run in runs),
        SLOTS: sum(run.slots for run in runs),
        UNPROVEN: sum(run.unproven for run in runs),
    }
    busy = [run for run in runs if run.slots and run.asked > run.done + run.in_flight]
    if busy:
        gauges[SLOT_USE] = min(100.0, 100 * sum(run.in_flight for run in busy) / sum(run.slots for run in busy))
    return gauges


def _labels(whose: Whose, metric: Metric | None = None, label: str = "") -> dict[str, str]:
    labels = {"pool": whose[0], "model": whose[1]}
    return {**labels, metric.label: label} if metric is not None and metric.label else labels
