"""Where numbers go: CloudWatch, within its limits."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode

import botocore.session
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st

from tasks.metrics.aggregate import Snapshot
from tasks.metrics.cloudwatch import MOST_BYTES, MOST_METRICS, MOST_VALUES, batches, data
from tasks.metrics.names import OF_MACHINES, OF_RUNS


def test_every_unit_is_one_of_cloudwatchs():
    shape = botocore.session.get_session().get_service_model("cloudwatch").shape_for("StandardUnit")
    assert {metric.unit for metric in (*OF_RUNS, *OF_MACHINES)} <= set(shape.enum)


@given(st.dictionaries(st.floats(0.001, 1e6), st.integers(1, 10_000), min_size=1, max_size=700))
def test_no_metric_has_more_values_than_cloudwatch_takes_and_none_is_lost(seen: dict[float, int]):
    found = list(data(Snapshot(values={("PageSeconds", ""): seen}), {"Pool": "p"}, datetime.now(UTC)))
    assert all(len(datum["Values"]) == len(datum["Counts"]) <= MOST_VALUES for datum in found)
    assert {v: c for datum in found for v, c in zip(datum["Values"], datum["Counts"], strict=True)} == seen


def test_a_request_is_no_larger_than_cloudwatch_takes_however_it_is_written():
    seen = {0.123456789 + number: 1_000_000 for number in range(MOST_VALUES)}
    values = {("WarmSeconds", f"step {number}"): seen for number in range(2500)}
    service = botocore.session.get_session().get_service_model("cloudwatch")
    operation = service.operation_model("PutMetricData")
    sent = list(batches(data(Snapshot(values=values), {"Pool": "p" * 20, "Model": "m" * 100}, datetime.now(UTC))))
    assert sum(map(len, sent)) == 2500
    for protocol in ("json", "query", "smithy-rpc-v2-cbor"):
        written = create_serializer(protocol).serialize_to_request(
            {"Namespace": "Hearth", "MetricData": sent[0]}, operation
        )
        body = written["body"]
        size = len(body) if isinstance(body, bytes | str) else len(urlencode(body))
        assert size < 1_000_000, protocol
    assert max(map(len, sent)) <= MOST_METRICS
    assert MOST_BYTES < 1_000_000


def test_small_metrics_go_a_thousand_at_once():
    counts = {("Retries", f"reason {number}"): 1.0 for number in range(2100)}
    assert [len(b) for b in batches(data(Snapshot(counts), {"Pool": "p"}, datetime.now(UTC)))] == [1000, 1000, 100]


def test_what_tells_values_apart_is_a_dimension_of_its_own():
    (datum,) = data(Snapshot({("Retries", "slow"): 2.0}), {"Pool": "p", "Model": "m"}, datetime.now(UTC))
    assert {each["Name"]: each["Value"] for each in datum["Dimensions"]} == {
        "Pool": "p",
        "Model": "m",
        "Reason": "slow",
    }
