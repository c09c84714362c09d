"""Where numbers go: OpenTelemetry's wire."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tasks.core.errors import ServerError
from tasks.metrics.otlp import Otlp
from tasks.metrics.totals import TotalsSink
from tests.unit.tasks.metrics.measured_pages import WHOSE, some_pages


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


def test_the_machines_totals_are_sent_in_opentelemetrys_protocol(tmp_path: Path):
    with receiver() as (url, got):
        for _ in range(2):
            for sink in (TotalsSink(tmp_path, WHOSE), Otlp(url, tmp_path)):
                sink.publish(some_pages().snapshot())
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


def test_a_receiver_that_refuses_is_named(tmp_path: Path):
    with receiver(status=400) as (url, _), pytest.raises(ServerError, match="does not accept metrics"):
        Otlp(url, tmp_path).publish(some_pages().snapshot())
