"""Metrics for OpenTelemetry over HTTP: the machine's totals, so that they do not begin at 0 with every run."""

from __future__ import annotations

import logging
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.core.errors import InputError, ServerError
from tasks.metrics.aggregate import Snapshot
from tasks.metrics.live import live_runs
from tasks.metrics.names import Kind, Metric
from tasks.metrics.points import Distribution, Point, points
from tasks.metrics.totals import Totals, locked_totals

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Gauge, Histogram, Sum

_SECONDS = 5.0
_UNITS = {"Seconds": "s", "Percent": "%", "Count": "1", "None": "1"}


class Otlp:
    """See `Sink`. Sends to an OTLP receiver: a collector, or Prometheus with `--web.enable-otlp-receiver`.

    The endpoint is a URL without `/v1/metrics`. Headers, such as a token, come from OTEL_EXPORTER_OTLP_HEADERS.

    Raises:
        InputError: the exporter is not installed.
    """

    def __init__(self, endpoint: str, home: Path) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        except ImportError:
            raise InputError("HEARTH_METRICS__OTLP needs the exporter: pip install 'hearth-pages[otel]'.") from None
        # Its failures are reported as Hearth's own error.
        logging.getLogger("opentelemetry.exporter.otlp.proto.http.metric_exporter").setLevel(logging.CRITICAL)
        self._exporter = OTLPMetricExporter(f"{endpoint.rstrip('/')}/v1/metrics", timeout=_SECONDS)
        self.name = endpoint
        self._home = home

    def publish(self, snapshot: Snapshot) -> None:
        """See `Sink`.

        Raises:
            ServerError: the receiver does not accept them.
        """
        del snapshot  # it is in the totals
        with locked_totals(self._home) as totals:
            self._export(totals)

    def _export(self, totals: Totals) -> None:
        from opentelemetry.sdk.metrics import export
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        at = time.time_ns()
        metrics = [
            export.Metric(metric.prometheus.removesuffix("_total"), metric.about, _UNITS[metric.unit], data)
            for metric, measured in points(totals, live_runs(self._home))
            if measured
            for data in [_data(metric, measured, at)]
        ]
        scope = export.ScopeMetrics(InstrumentationScope("hearth"), metrics, "")
        resource = Resource({"service.name": "hearth", "host.name": platform.node()})
        result = self._exporter.export(export.MetricsData([export.ResourceMetrics(resource, [scope], "")]))
        if result is not export.MetricExportResult.SUCCESS:
            raise ServerError(f"{self.name} does not accept metrics over OTLP.")


def _data(metric: Metric, measured: list[Point], at: int) -> Sum | Gauge | Histogram:
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
                    min=None,  # type: ignore[arg-type] # unknown; they are optional on the wire
                    max=None,  # type: ignore[arg-type]
                )
                for point in measured
                if isinstance(point.value, Distribution)
            ],
            export.AggregationTemporality.CUMULATIVE,
        )
    numbers = [
        export.NumberDataPoint(dict(point.labels), 0, at, point.value)
        for point in measured
        if not isinstance(point.value, Distribution)
    ]
    if metric.kind is Kind.GAUGE:
        return export.Gauge(numbers)
    return export.Sum(numbers, export.AggregationTemporality.CUMULATIVE, is_monotonic=True)
