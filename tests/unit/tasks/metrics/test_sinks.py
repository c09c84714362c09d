"""Where numbers go: CloudWatch's limits, the machine's totals, Prometheus's text, OpenTelemetry's wire."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

import botocore.session
import pytest
from botocore.serialize import create_serializer
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from tasks.core.errors import ServerError, StorageError
from tasks.metrics import names
from tasks.metrics.aggregate import Aggregate, Snapshot
from tasks.metrics.cloudwatch import MOST_BYTES, MOST_METRICS, MOST_VALUES, batches, data
from tasks.metrics.live import LiveFile
from tasks.metrics.names import OF_MACHINES, OF_RUNS
from tasks.metrics.otlp import Otlp
from tasks.metrics.prometheus import Machine, Textfile, registry, text
from tasks.metrics.totals import TotalsSink, read_totals
from tests.support.commands import ROOT
from tests.support.metrics.runs import live_run
from tests.support.waiting import PATIENCE

WHOSE = ("night", "qwen2.5vl:7b")


def some_pages(count: int = 3) -> Aggregate:
    aggregate = Aggregate()
    for number in range(count):
        aggregate.count(names.PAGES, label="read")
        aggregate.see(names.PAGE_SECONDS, number + 1.0)
        aggregate.see(names.IN_FLIGHT, 4)
    return aggregate


# CloudWatch


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


# The machine's totals


def test_totals_go_on_from_run_to_run_and_gauges_do_not(tmp_path: Path):
    for _ in range(2):
        sink = TotalsSink(tmp_path, WHOSE)
        aggregate = some_pages()
        sink.publish(aggregate.snapshot())
        aggregate.count(names.PAGES, label="read")
        sink.publish(aggregate.snapshot())
        sink.publish(aggregate.snapshot())
    total = read_totals(tmp_path)[WHOSE]
    assert total.counts["Pages", "read"] == 8
    assert total.values["PageSeconds", ""] == {1.0: 2, 2.0: 2, 3.0: 2}
    assert not [name for name, _ in total.values if name == "PagesInFlight"]


def test_runs_at_once_lose_no_count_of_each_other(tmp_path: Path):
    program = (
        "import sys; from pathlib import Path; from tasks.metrics.aggregate import Aggregate;"
        "from tasks.metrics.totals import TotalsSink; from tasks.metrics import names;"
        "a = Aggregate(); s = TotalsSink(Path(sys.argv[1]), ('p', 'm'));"
        "[(a.count(names.PAGES, label='read'), s.publish(a.snapshot())) for _ in range(100)]"
    )
    runs = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT) for _ in range(3)]
    assert [run.wait(PATIENCE) for run in runs] == [0, 0, 0]
    assert read_totals(tmp_path)["p", "m"].counts["Pages", "read"] == 300


@pytest.mark.parametrize("rubbish", [b"", b"{}", b"[1]", b'{"totals": [{"pool": 1}]}', b"\xff"])
def test_totals_that_make_no_sense_begin_anew(tmp_path: Path, rubbish: bytes):
    (tmp_path / "metrics.json").write_bytes(rubbish)
    TotalsSink(tmp_path, WHOSE).publish(some_pages().snapshot())
    assert read_totals(tmp_path)[WHOSE].counts["Pages", "read"] == 3


def test_no_room_for_totals_is_told_and_what_was_not_written_is_not_lost(tmp_path: Path):
    home = tmp_path / "home"
    home.write_text("a file where a directory should be")
    sink = TotalsSink(home, WHOSE)
    with pytest.raises(StorageError):
        sink.publish(some_pages().snapshot())
    home.unlink()
    sink.publish(some_pages().snapshot())
    assert read_totals(home)[WHOSE].counts["Pages", "read"] == 3


# Prometheus


def samples(told: str) -> dict[tuple[str, str], float]:
    found = {}
    for family in text_string_to_metric_families(told):
        for sample in family.samples:
            found[sample.name, sample.labels.get("le", sample.labels.get("status", ""))] = sample.value
    return found


def test_prometheus_reads_counters_histograms_and_what_runs_do_now(tmp_path: Path):
    TotalsSink(tmp_path, WHOSE).publish(some_pages().snapshot())
    LiveFile(tmp_path).write(live_run(pool=WHOSE[0], model=WHOSE[1], in_flight=3, slots=4))
    found = samples(text(registry(Machine(tmp_path))))
    assert found["hearth_pages_total", "read"] == 3
    assert found["hearth_pages_total", "failed"] == 0  # a first failure is then an increase
    assert found["hearth_page_seconds_bucket", "1.0"] == 1
    assert found["hearth_page_seconds_bucket", "2.0"] == 2
    assert found["hearth_page_seconds_bucket", "+Inf"] == found["hearth_page_seconds_count", ""] == 3
    assert found["hearth_page_seconds_sum", ""] == pytest.approx(6.0)
    assert (found["hearth_pages_in_flight", ""], found["hearth_slots", ""]) == (3, 4)
    assert found["hearth_slot_use_percent", ""] == 75


def test_the_runs_of_a_pool_are_added_up(tmp_path: Path):
    for _ in range(2):
        LiveFile(tmp_path).write(live_run(in_flight=3, slots=4))
    found = samples(text(registry(Machine(tmp_path))))
    assert (found["hearth_pages_in_flight", ""], found["hearth_slots", ""]) == (6, 8)


def test_a_textfile_is_written_whole_and_readable_by_node_exporter(tmp_path: Path):
    path = tmp_path / "hearth.prom"
    sink = TotalsSink(tmp_path, WHOSE, [Textfile(path, tmp_path)])
    sink.publish(some_pages().snapshot())
    assert samples(path.read_text())["hearth_pages_total", "read"] == 3
    assert path.stat().st_mode & 0o777 == 0o644
    assert not list(tmp_path.glob("*.new"))


# OpenTelemetry


@contextmanager
def receiver(status: int = 200) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A real HTTP server that keeps what it is sent: its URL, and the paths and bodies."""
    got: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", got
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_opentelemetry_is_sent_the_machines_totals_as_its_protocol_has_them(tmp_path: Path):
    with receiver() as (url, got):
        sink = TotalsSink(tmp_path, WHOSE, [Otlp(url, tmp_path)])
        sink.publish(some_pages().snapshot())
        TotalsSink(tmp_path, WHOSE, [Otlp(url, tmp_path)]).publish(some_pages().snapshot())
    (path, _), (_, body) = got
    assert path == "/v1/metrics"
    request = ExportMetricsServiceRequest.FromString(body)
    (resource,) = request.resource_metrics
    told = {metric.name: metric for metric in resource.scope_metrics[0].metrics}
    pages = next(point for point in told["hearth_pages"].sum.data_points if point.as_double)
    assert pages.as_double == 6
    assert told["hearth_pages"].sum.is_monotonic
    assert {each.key: each.value.string_value for each in pages.attributes} == {
        "pool": WHOSE[0],
        "model": WHOSE[1],
        "status": "read",
    }
    (spread,) = told["hearth_page_seconds"].histogram.data_points
    assert (spread.count, spread.sum) == (6, pytest.approx(12.0))
    assert sum(spread.bucket_counts) == 6
    assert len(spread.bucket_counts) == len(spread.explicit_bounds) + 1
    assert not spread.HasField("min")


def test_a_receiver_that_refuses_is_told_as_such(tmp_path: Path):
    with receiver(status=400) as (url, _), pytest.raises(ServerError, match="does not take metrics"):
        Otlp(url, tmp_path).publish({WHOSE: some_pages().snapshot()})


# Live files


def test_a_run_that_was_killed_is_not_shown(tmp_path: Path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert live_run().lives(time.time())
    assert not live_run(pid=gone.pid).lives(time.time())
    assert not live_run(at=time.time() - 60).lives(time.time())
    assert live_run(pid=gone.pid, host="elsewhere").lives(time.time())


def test_a_run_that_ends_leaves_no_file_and_takes_those_of_the_killed_with_it(tmp_path: Path):
    old = tmp_path / "runs" / "1-killed.json"
    old.parent.mkdir()
    old.write_text("{}")
    os.utime(old, (1, 1))
    file = LiveFile(tmp_path)
    file.write(live_run())
    file.remove()
    assert not list((tmp_path / "runs").iterdir())
