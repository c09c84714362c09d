"""Metrics for Prometheus: as a text, in a file for node_exporter, or over HTTP."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from tasks.metrics.aggregate import Snapshot
from tasks.metrics.live import live_runs
from tasks.metrics.names import GPU_CELSIUS, GPU_MEMORY, GPU_USE, Kind, Metric
from tasks.metrics.points import Distribution, Point, points
from tasks.metrics.totals import Totals, locked_totals, read_totals

_FAMILIES: Mapping[Kind, Any] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}
_OF_GPUS = {"use": GPU_USE, "memory": GPU_MEMORY, "celsius": GPU_CELSIUS}


class Machine(Collector):
    """All runs of this machine at the time of a scrape. Totals that are already read are not read again."""

    def __init__(self, home: Path, totals: Totals | None = None) -> None:
        self._home = home
        self._totals = totals

    def collect(self) -> Iterator[Family]:
        """See `Collector`."""
        totals = read_totals(self._home) if self._totals is None else self._totals
        for metric, measured in points(totals, live_runs(self._home)):
            yield _family(metric, measured)


class Gpus(Collector):
    """This machine's GPUs at the time of a scrape; `look` returns their values by the keys of `_OF_GPUS`."""

    def __init__(self, look: Callable[[], Sequence[Mapping[str, float]]]) -> None:
        self._look = look

    def collect(self) -> Iterator[Family]:
        """See `Collector`: each GPU by its number."""
        gpus = self._look()
        for key, metric in _OF_GPUS.items():
            family = GaugeMetricFamily(metric.prometheus, metric.about, labels=["gpu"])
            for number, gpu in enumerate(gpus):
                if key in gpu:
                    family.add_metric([str(number)], gpu[key])
            yield family


def registry(*collectors: Collector) -> CollectorRegistry:
    """Return a registry of these alone, without prometheus_client's metrics of this process."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return registry


def text(metrics: CollectorRegistry) -> str:
    """Return metrics in Prometheus's text format."""
    return generate_latest(metrics).decode()


class Textfile:
    """See `Sink`. Writes the machine's metrics to a .prom file for node_exporter's textfile collector."""

    def __init__(self, path: Path, home: Path) -> None:
        self.name = str(path)
        self._path = path
        self._home = home

    def publish(self, snapshot: Snapshot) -> None:
        """See `Sink`."""
        del snapshot  # it is in the totals
        new = self._path.with_suffix(".new")
        with locked_totals(self._home) as totals:
            new.write_text(text(registry(Machine(self._home, totals))))
            new.chmod(0o644)
            new.replace(self._path)


def _family(metric: Metric, measured: list[Point]) -> Family:
    names = ["pool", "model", *filter(None, [metric.label])]
    made: Family = _FAMILIES[metric.kind](metric.prometheus, metric.about, labels=names)
    family: Any = made  # the kinds' add_metric have different parameters
    for point in measured:
        labels = [point.labels[name] for name in names]
        if isinstance(point.value, Distribution):
            bounds = [*map(str, metric.buckets), "+Inf"]
            buckets = list(zip(bounds, accumulate(point.value.counts), strict=True))
            family.add_metric(labels, buckets, point.value.total)
        else:
            family.add_metric(labels, point.value)
    return made
