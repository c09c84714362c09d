"""Numbers for OpenTelemetry, over HTTP: the machine's totals, so that a short run's do not begin at 0 each time."""

from __future__ import annotations

import logging
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.core.errors import InputError, ServerError
from tasks.metrics.live import live_runs
from tasks.metrics.names import Kind, Metric
from tasks.metrics.points import Point, Spread, points
from tasks.metrics.totals import Totals

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum

_SECONDS = 5.0
_UNITS = {"Seconds": "s", "Percent": "%", "Count": "1", "None": "1"}


class Otlp:
    """See `Reader`: an OTLP receiver (a collector, or Prometheus with `--web.enable-otlp-receiver`).

    Args:
        endpoint: its URL, to which `/v1/metrics` is added. Headers, such as a token, are those of
            OTEL_EXPORTER_OTLP_HEADERS.
        home: where runs leave their numbers.

    Raises:
        InputError: the exporter is not installed.
    """

    def __init__(self, endpoint: str, home: Path) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        except ImportError:
            raise InputError("HEARTH_METRICS__OTLP wants the exporter: pip install 'hearth-pages[otel]'.") from None
        # What it has to say is told as Hearth's own error.
        logging.getLogger("opentelemetry.exporter.otlp.proto.http.metric_exporter").setLevel(logging.CRITICAL)
        self._exporter = OTLPMetricExporter(f"{endpoint.rstrip('/')}/v1/metrics", timeout=_SECONDS)
        self._endpoint = endpoint
        self._home = home

    def publish(self, totals: Totals) -> None:
        """See `Reader`.

        Raises:
            ServerError: the receiver does not take them.
        """
        from opentelemetry.sdk.metrics import export
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        at = time.time_ns()
        metrics = [
            export.Metric(metric.prometheus.removesuffix("_total"), metric.about, _UNITS[metric.unit], data)
            for metric, found in points(totals, live_runs(self._home))
            if found
            for data in [_data(metric, found, at)]
        ]
        scope = export.ScopeMetrics(InstrumentationScope("hearth"), metrics, "")
        resource = Resource({"service.name": "hearth", "host.name": platform.node()})
        sent = self._exporter.export(export.MetricsData([export.ResourceMetrics(resource, [scope], "")]))
        if sent is not export.MetricExportResult.SUCCESS:
            raise ServerError(f"{self._endpoint} does not take metrics over OTLP.")


def _data(metric: Metric, found: list[Point], at: int) -> Sum | Gauge | Histogram:
    from opentelemetry.sdk.metrics import export

    if metric.kind is Kind.HISTOGRAM:
        return export.Histogram(
            [
                export.HistogramDataPoint(
                    attributes=dict(point.labels),
                    start_time_unix_nano=0,
                    time_unix_nano=at,
                    count=sum(point.value.counts),
                    sum=point.value.total,
                    bucket_counts=point.value.counts,
                    explicit_bounds=metric.buckets,
                    min=None,  # type: ignore[arg-type] # not known; the wire has them optional
                    max=None,  # type: ignore[arg-type]
                )
                for point in found
                if isinstance(point.value, Spread)
            ],
            export.AggregationTemporality.CUMULATIVE,
        )
    numbers = [
        export.NumberDataPoint(dict(point.labels), 0, at, point.value)
        for point in found
        if not isinstance(point.value, Spread)
    ]
    if metric.kind is Kind.GAUGE:
        return export.Gauge(numbers)
    return export.Sum(numbers, export.AggregationTemporality.CUMULATIVE, is_monotonic=True)
