"""Metrics for CloudWatch: what was counted since the last minute, in as few requests as possible."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from tasks.aws.client import Aws
from tasks.aws.errors import wrap_errors
from tasks.metrics.aggregate import Series, Snapshot
from tasks.metrics.names import BY_NAME, NAMESPACE

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

# PutMetricData takes 1,000 metrics and 1 MB a request, and 150 different values a metric; from arrays of values and
# counts CloudWatch computes percentiles (docs.aws.amazon.com, API_PutMetricData).
MOST_METRICS = 1000
MOST_BYTES = 900_000
MOST_VALUES = 150
_BYTES_A_METRIC = 600
_BYTES_A_VALUE = 130
"""The most that a value and its count take in any of botocore's formats."""


class CloudWatch:
    """See `Sink`. What cannot be sent is not sent again. Each combination of dimensions, pool and model, is billed."""

    name = "CloudWatch"

    def __init__(self, aws: Aws, dimensions: Mapping[str, str]) -> None:
        self._aws = aws
        self._dimensions = dimensions
        self._sent = Snapshot()

    def publish(self, snapshot: Snapshot) -> None:
        """See `Sink`.

        Raises:
            CloudError: AWS refuses, or does not respond within seconds.
        """
        new, self._sent = snapshot.since(self._sent), snapshot
        for batch in batches(data(new, self._dimensions, datetime.now(UTC))):
            with wrap_errors("PutMetricData"):
                self._aws.cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=batch)


def data(new: Snapshot, dimensions: Mapping[str, str], at: datetime) -> Iterator[MetricDatumTypeDef]:
    """Yield what was counted as data for PutMetricData, with the dimensions of all metrics beside each one's label."""
    for series, count in new.counts.items():
        yield {**_about(series, dimensions, at), "Value": count}
    for series, seen in new.values.items():
        pairs = iter(sorted(seen.items()))
        while some := list(islice(pairs, MOST_VALUES)):
            yield {
                **_about(series, dimensions, at),
                "Values": [value for value, _ in some],
                "Counts": [count for _, count in some],
            }


def _about(series: Series, dimensions: Mapping[str, str], at: datetime) -> MetricDatumTypeDef:
    name, label = series
    metric = BY_NAME[name]
    named = {**dimensions, metric.label.capitalize(): label} if metric.label else dimensions
    return {
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in named.items()],
        "Timestamp": at,
        "Unit": metric.unit,  # type: ignore[typeddict-item] # checked against CloudWatch's own list by a test
        "StorageResolution": 60,
    }


def batches(metrics: Iterator[MetricDatumTypeDef]) -> Iterator[list[MetricDatumTypeDef]]:
    """Yield as many as fit into a request."""
    batch: list[MetricDatumTypeDef] = []
    size = 0
    for datum in metrics:
        more = _BYTES_A_METRIC + _BYTES_A_VALUE * len(datum.get("Values", ()))
        if batch and (len(batch) == MOST_METRICS or size + more > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(datum)
        size += more
    if batch:
        yield batch
