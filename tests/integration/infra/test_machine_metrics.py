"""The metrics of a machine: its program as a process, among stubs. nvidia-smi is SCRIPTED, for lack of a GPU."""

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from infra_scripts.machine import aws as machine_aws
from infra_scripts.machine import gpu, metrics
from tasks.leasing.lease import Lease
from tasks.leasing.leases import lease_value as written_lease
from tasks.metrics import names
from tests.support.infra.machine_stubs import INSTANCE, Asked, Surroundings, free_port, surroundings
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.long("starts the machine's program for each test: 13 s in all")


def seen(use: float, memory: float, celsius: float) -> dict[str, float]:
    return {"use": use, "memory": memory, "celsius": celsius}


SMI = {
    "one T4": ("75, 9216, 15360, 61", [seen(75, 60, 61)]),
    "two A10Gs": ("10, 1000, 4000, 50\n20, 1000, 4000, 51", [seen(10, 25, 50), seen(20, 25, 51)]),
    "a GPU that tells less": ("[N/A], [N/A], 15360, [N/A]", [{}]),
    "one that is lost beside one that is well": (
        "ERR!, [Unknown Error], [Unknown Error], [GPU is lost]\n80, 50, 100, 40",
        [{}, seen(80, 50, 40)],
    ),
    "no GPU": ("No devices were found", []),
    "a warning before the lines": ("WARNING: infoROM is corrupted, gpu 0\n5, 1, 2, 30", [seen(5, 50, 30)]),
    "no memory at all": ("5, 0, 0, 30", [{"use": 5.0, "celsius": 30.0}]),
    "nothing": ("", []),
}


@pytest.fixture
def around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Surroundings]:
    """A machine whose nvidia-smi says what `nvidia_smi` scripts; at first it has none."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    with surroundings(tmp_path) as there:
        yield there


def nvidia_smi(around: Surroundings, script: str) -> None:
    """SCRIPTED."""
    path = around.directory / "bin" / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def leases(around: Surroundings, *until: float) -> None:
    """STUB of the pool's table: the machine's record, as runs write it."""
    item = {f"run {n}": written_lease(Lease("a run", 8, end, f"run {n}")) for n, end in enumerate(until)}
    usual = around.answer_aws

    def answer(asked: Asked) -> tuple[int, bytes] | None:
        if asked.headers.get("X-Amz-Target", "").endswith("GetItem"):
            assert json.loads(asked.body) == {"TableName": "hearth-default", "Key": {"id": {"S": INSTANCE}}}
            return 200, json.dumps({"Item": {"id": {"S": INSTANCE}, "leases": {"M": item}}}).encode()
        return usual(asked)

    around.aws.answer = answer


def measure(around: Surroundings, **changed: object) -> Any:
    return around.start(program="metrics.py", LOOK_SECONDS=0.05, METRICS_SECONDS=0.3, **changed)


def sent(around: Surroundings) -> list[dict[str, Any]]:
    """The requests that CloudWatch got."""
    return [
        json.loads(asked.body)
        for asked in list(around.aws.asked)
        if asked.headers.get("X-Amz-Target") == "GraniteServiceVersion20100801.PutMetricData"
    ]


def told(around: Surroundings, name: str) -> dict[float, int]:
    """A metric's values and how often each was seen, in all requests."""
    found: dict[float, int] = {}
    for datum in (datum for request in sent(around) for datum in request["MetricData"]):
        if datum["MetricName"] == name:
            for value, count in zip(datum["Values"], datum["Counts"], strict=True):
                found[value] = found.get(value, 0) + count
    return found


class TestNvidiaSmi:
    @pytest.mark.parametrize(("text", "found"), SMI.values(), ids=SMI.keys())
    def test_lines_of_nvidia_smi_are_parsed_even_with_missing_values(self, text: str, found: list[dict[str, float]]):
        assert gpu.parse_gpus(text) == found

    @given(st.text())
    def test_invalid_output_means_no_gpu_and_no_error(self, text: str):
        assert all(value >= 0 for each in gpu.parse_gpus(text) for value in each.values())

    def test_without_nvidia_smi_there_are_no_gpus(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        monkeypatch.setenv("PATH", str(tmp_path))
        assert gpu.gpus() == []

    def test_a_hanging_nvidia_smi_is_abandoned_and_not_started_twice(
        self, around: Surroundings, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(gpu, "RESPONSE_SECONDS", PATIENCE)
        monkeypatch.setattr(gpu, "hung", [])
        starts = around.directory / "starts"
        nvidia_smi(around, f"echo start >> {starts}; exec sleep 36000")
        with monkeypatch.context() as stuck:
            stuck.setattr(gpu, "RESPONSE_SECONDS", 0.5)
            stuck.setattr(gpu.subprocess.Popen, "kill", lambda _: None)  # as one that hangs in the driver
            assert gpu.gpus() == []
            assert gpu.gpus() == []
        (hung,) = gpu.hung
        assert starts.read_text().count("start") <= 1
        hung.kill()
        hung.communicate()
        nvidia_smi(around, "echo 75, 9216, 15360, 61")
        assert gpu.gpus() == [seen(75, 60, 61)]

    def test_a_failing_nvidia_smi_means_no_gpus(self, around: Surroundings):
        nvidia_smi(around, "echo NVIDIA-SMI has failed; exit 9")
        assert gpu.gpus() == []


class TestProgram:
    def test_gpus_requests_and_leases_are_sent_in_hearths_namespace_by_pool_only(self, around: Surroundings):
        nvidia_smi(around, "echo 75, 9216, 15360, 61; echo 85, 9216, 15360, 62")
        leases(around, time.time() - 5, time.time() + 36_000)
        with socket.create_connection(("127.0.0.1", around.ollama.port)):
            measure(around)
            until(lambda: len(sent(around)) >= 2)
        assert set(told(around, "GpuUsePercent")) == {75.0, 85.0}
        assert set(told(around, "GpuMemoryPercent")) == {60.0}
        assert 1.0 in told(around, "Connections")
        assert set(told(around, "MachinesLeased")) == {1.0}
        for request in sent(around):
            assert request["Namespace"] == names.NAMESPACE == metrics.NAMESPACE
            assert {str(datum["Dimensions"]) for datum in request["MetricData"]} == {
                "[{'Name': 'Pool', 'Value': 'default'}]"
            }

    def test_the_request_has_the_format_of_the_api(self, around: Surroundings):
        nvidia_smi(around, "echo 75, 9216, 15360, 61")
        measure(around)
        until(lambda: sent(around))
        shape = (
            botocore.session.get_session().get_service_model("cloudwatch").operation_model("PutMetricData").input_shape
        )
        report = ParamValidator().validate(sent(around)[0], shape)
        assert not report.has_errors(), report.generate_report()

    def test_a_machine_without_a_lease_reports_it(self, around: Surroundings):
        leases(around, time.time() - 5)
        measure(around)
        until(lambda: sent(around))
        assert told(around, "MachinesLeased").keys() == {0.0}

    def test_a_machine_reports_that_it_is_up_even_if_lease_and_gpu_are_unknown(self, around: Surroundings):
        measure(around, DYNAMODB_URL=f"http://127.0.0.1:{free_port()}")
        until(lambda: sent(around))
        assert told(around, "MachinesUp").keys() == {1.0}
        assert not told(around, "MachinesLeased")
        assert not told(around, "GpuUsePercent")

    def test_metrics_that_cloudwatch_refuses_are_lost_and_the_next_minute_is_sent(self, around: Surroundings):
        around.logs = (503, b"")  # every JSON API
        process = measure(around)
        until(lambda: len(sent(around)) > 1)
        assert process.poll() is None
        around.logs = (200, b"{}")
        before = len(sent(around))
        until(lambda: len(sent(around)) > before)

    def test_a_spot_notice_and_the_end_of_the_boot_are_sent_once_despite_a_restart(self, around: Surroundings):
        around.state.mkdir()
        began = time.clock_gettime(time.CLOCK_BOOTTIME) - 90
        state = {"answered": True, "started": began, "published": None}
        (around.state / "watch.json").write_text(json.dumps(state))
        process = measure(around)
        until(lambda: told(around, "BootSeconds"))
        assert not told(around, "SpotInterruptions")
        notice = {**state, "published": "2026-11-23T10:02:00Z spot-interruption"}
        (around.state / "watch.json").write_text(json.dumps(notice))
        until(lambda: told(around, "SpotInterruptions"))
        until(lambda: "notice" in (around.state / "metrics.json").read_text())
        process.kill()
        process.wait()
        before = len(sent(around))
        measure(around)
        until(lambda: len(sent(around)) > before)
        assert told(around, "SpotInterruptions") == {1.0: 1}
        ((seconds, count),) = told(around, "BootSeconds").items()
        assert 89 < seconds <= time.clock_gettime(time.CLOCK_BOOTTIME) - began
        assert count == 1

    @pytest.mark.parametrize("rubbish", [b"", b"[]", b"3", b"[" * 100_000, b'{"answered": 1, "published": 7}'])
    def test_any_content_of_the_watchdogs_state_is_tolerated(self, around: Surroundings, rubbish: bytes):
        around.state.mkdir()
        (around.state / "watch.json").write_bytes(rubbish)
        measure(around)
        until(lambda: sent(around))


def test_the_metrics_of_machines_match_the_table_of_names():
    assert {metric.name: metric.unit for metric in names.OF_MACHINES} == metrics.UNITS


def test_cloudwatch_accepts_the_signed_request(
    aws_environment: str, monkeypatch: pytest.MonkeyPatch, around: Surroundings
):
    """moto stands for CloudWatch; it checks no signature (test_machine_commands.py compares that with botocore's)."""
    monkeypatch.setenv("HEARTH_MONITORING_URL", aws_environment)
    monkeypatch.setenv("HEARTH_IMDS_URL", around.aws.url)
    monkeypatch.setenv("HEARTH_REGION", "us-east-1")
    machine_aws.put_metrics("Hearth", metrics.metric_data({"GpuUsePercent": {75.0: 3}}, "default"))  # type: ignore[dict-item]
    listed = boto3.client("cloudwatch").list_metrics(Namespace="Hearth")["Metrics"]
    assert {metric["MetricName"] for metric in listed} == {"GpuUsePercent"}
