"""Numbers of real runs in CloudWatch (moto's), and runs that cannot reach it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.benchmarks.page_times import write_pdf
from tests.support.aws.front import AwsFront
from tests.support.commands import Hearth
from tests.support.ollama.counting import CountingOllama, counting_ollama
from tests.support.ollama.wire import MODEL

PAGES = 12


@pytest.fixture
def server() -> Iterator[CountingOllama]:
    with counting_ollama(4, 0.05) as counting:
        yield counting


@pytest.fixture
def document(tmp_path: Path) -> Path:
    write_pdf(tmp_path / "paper.pdf", PAGES)
    return tmp_path / "paper.pdf"


def read(hearth: Hearth, server: CountingOllama, document: Path, **environment: str) -> Any:
    return hearth.read(
        *(document, "--slots", "4"), HEARTH_URL=server.url, HEARTH_METRICS__CLOUDWATCH="true", **environment
    )


def told(aws: AwsFront, name: str, statistic: str, **labels: str) -> float:
    cloudwatch = boto3.client("cloudwatch", endpoint_url=aws.url)
    now = datetime.now(UTC)
    points = cloudwatch.get_metric_statistics(
        Namespace="Hearth",
        MetricName=name,
        Dimensions=[{"Name": k, "Value": v} for k, v in {"Pool": "url", "Model": MODEL, **labels}.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=1),
        Period=7200,
        Statistics=[statistic],
    )["Datapoints"]
    return sum(point[statistic] for point in points)


def test_a_runs_numbers_reach_cloudwatch(hearth: Hearth, aws: AwsFront, server: CountingOllama, document: Path):
    server.refuses = lambda held: 503 if len(server.pages) == 3 else 0  # one request, once
    outcome = read(hearth, server, document, **aws.environment)
    assert outcome.code == 0, outcome.err
    assert told(aws, "Pages", "Sum", Status="read") == PAGES
    assert told(aws, "Retries", "Sum", Reason="unavailable") == 1
    assert told(aws, "TokensOut", "Sum") == PAGES * 20
    assert told(aws, "PageSeconds", "SampleCount") == PAGES
    assert told(aws, "WarmSeconds", "SampleCount", Step="load") == 1
    listed = boto3.client("cloudwatch", endpoint_url=aws.url).list_metrics()["Metrics"]
    assert {metric["Namespace"] for metric in listed} == {"Hearth"}
    different = {str(sorted([each["MetricName"], *map(str, each["Dimensions"])])) for each in listed}
    assert len(different) <= 25  # each costs


@pytest.mark.long("another run of the command: 6 s")
def test_a_run_that_cannot_reach_cloudwatch_reads_on_and_says_so_once(
    hearth: Hearth, aws: AwsFront, server: CountingOllama, document: Path, free_port: int
):
    nowhere = {"AWS_ENDPOINT_URL_CLOUDWATCH": f"http://127.0.0.1:{free_port}"}
    outcome = read(hearth, server, document, **aws.environment, **nowhere, HEARTH_METRICS__FLUSH_SECONDS="1")
    assert outcome.code == 0, outcome.err
    assert outcome.json["read"] == PAGES
    assert outcome.err.count("Metrics for CloudWatch are lost") == 1
