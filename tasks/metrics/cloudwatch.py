"""Numbers for CloudWatch: what came since the last minute, in as few requests as it takes."""

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

# PutMetricData takes 1,000 metrics and 1 MB a request, and 150 different values a metric; with arrays of values and
# counts CloudWatch tells percentiles (docs.aws.amazon.com, API_PutMetricData).
MOST_METRICS = 1000
MOST_BYTES = 900_000
MOST_VALUES = 150
_BYTES_A_METRIC = 600
_BYTES_A_VALUE = 130
"""The most that a value and its count take, whatever form botocore writes them in."""


class CloudWatch:
    """See `Sink`. It is told all that was counted, and sends what it was not told before.

    Args:
        aws: where to.
        dimensions: of all metrics: pool and model. Each combination of them costs.
    """

    name = "CloudWatch"

    def __init__(self, aws: Aws, dimensions: Mapping[str, str]) -> None:
        self._aws = aws
        self._dimensions = dimensions
        self._sent = Snapshot()

    def publish(self, snapshot: Snapshot) -> None:
        """See `Sink`.

        Raises:
            CloudError: AWS refuses, or does not answer in some seconds.
        """
        new, self._sent = snapshot.since(self._sent), snapshot
        for batch in batches(data(new, self._dimensions, datetime.now(UTC))):
            with wrap_errors("PutMetricData"):
                self._aws.cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=batch)


def data(new: Snapshot, dimensions: Mapping[str, str], at: datetime) -> Iterator[MetricDatumTypeDef]:
    """What PutMetricData is to be told.

    Args:
        new: what was counted.
        dimensions: of each metric, beside its own label.
        at: when.
    """
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
    told = {**dimensions, metric.label.capitalize(): label} if metric.label else dimensions
    return {
        "MetricName": name,
        "Dimensions": [{"Name": key, "Value": value} for key, value in told.items()],
        "Timestamp": at,
        "Unit": metric.unit,  # type: ignore[typeddict-item] # checked against CloudWatch's own list by a test
        "StorageResolution": 60,
    }


def batches(found: Iterator[MetricDatumTypeDef]) -> Iterator[list[MetricDatumTypeDef]]:
    """As many at once as a request takes."""
    batch: list[MetricDatumTypeDef] = []
    size = 0
    for datum in found:
        more = _BYTES_A_METRIC + _BYTES_A_VALUE * len(datum.get("Values", ()))
        if batch and (len(batch) == MOST_METRICS or size + more > MOST_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(datum)
        size += more
    if batch:
        yield batch
