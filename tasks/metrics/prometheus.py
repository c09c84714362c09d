"""Numbers for Prometheus: as a text, in a file for node_exporter, or over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from tasks.metrics.live import live_runs
from tasks.metrics.names import GPU_CELSIUS, GPU_MEMORY, GPU_USE, Kind, Metric
from tasks.metrics.points import Point, Spread, points
from tasks.metrics.totals import Totals, read_totals

_OF_GPUS = {"use": GPU_USE, "memory": GPU_MEMORY, "celsius": GPU_CELSIUS}


class Machine(Collector):
    """All runs of this machine, as they are when Prometheus asks.

    Args:
        home: where they leave their numbers.
    """

    def __init__(self, home: Path, totals: Totals | None = None) -> None:
        self._home = home
        self._totals = totals

    def collect(self) -> Iterator[Family]:
        """See `Collector`."""
        totals = read_totals(self._home) if self._totals is None else self._totals
        for metric, found in points(totals, live_runs(self._home)):
            yield _family(metric, found)


class Gpus(Collector):
    """This machine's GPUs, as they are when Prometheus asks.

    Args:
        look: returns what is known of each, by the keys of `_OF_GPUS`; none where there is no nvidia-smi.
    """

    def __init__(self, look: Callable[[], Sequence[Mapping[str, float]]]) -> None:
        self._look = look

    def collect(self) -> Iterator[Family]:
        """See `Collector`: each GPU by its number."""
        found = self._look()
        for key, metric in _OF_GPUS.items():
            family = GaugeMetricFamily(metric.prometheus, metric.about, labels=["gpu"])
            for number, gpu in enumerate(found):
                if key in gpu:
                    family.add_metric([str(number)], gpu[key])
            yield family


def registry(*collectors: Collector) -> CollectorRegistry:
    """One of ours alone: nothing of this very process is in it."""
    made = CollectorRegistry()
    for collector in collectors:
        made.register(collector)
    return made


def text(found: CollectorRegistry) -> str:
    """In Prometheus's text format."""
    return generate_latest(found).decode()


class Textfile:
    """See `Reader`: a file that node_exporter's textfile collector reads.

    Args:
        path: the file's, ending in .prom; its directory must be there.
        home: where runs leave their numbers.
    """

    def __init__(self, path: Path, home: Path) -> None:
        self._path = path
        self._home = home

    def publish(self, totals: Totals) -> None:
        """See `Reader`."""
        new = self._path.with_suffix(".new")
        new.write_text(text(registry(Machine(self._home, totals))))
        new.chmod(0o644)
        new.replace(self._path)


def _family(metric: Metric, found: list[Point]) -> Family:
    names = ["pool", "model", *filter(None, [metric.label])]
    about, name = metric.about, metric.prometheus
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(name, about, labels=names)
        for point in found:
            assert isinstance(point.value, Spread)  # noqa: S101 - as `points` makes them
            bounds = [*map(str, metric.buckets), "+Inf"]
            buckets = list(zip(bounds, accumulate(point.value.counts), strict=True))
            histogram.add_metric([point.labels[each] for each in names], buckets, point.value.total)
        return histogram
    family: CounterMetricFamily | GaugeMetricFamily
    family = (CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily)(name, about, labels=names)
    for point in found:
        assert isinstance(point.value, float | int)  # noqa: S101 - as `points` makes them
        family.add_metric([point.labels[each] for each in names], point.value)
    return family
