"""The program of ECS tasks, as a process: the metrics that it sends to CloudWatch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.integration.ecs.agents import NUM_CTX, Running, png
from tests.support.infra.machine_stubs import Asked, stub
from tests.support.waiting import until

pytestmark = pytest.mark.long("starts the agent for each test: 1 to 2 s")


@dataclass
class Told:
    """STUB of CloudWatch: what a task told it."""

    asked: list[Asked]

    def values(self, namespace: str, name: str) -> list[dict[float, int]]:
        """Of a metric: each time its values, and how often each was seen."""
        bodies = [json.loads(asked.body) for asked in list(self.asked)]
        found = [datum for body in bodies if body["Namespace"] == namespace for datum in body["MetricData"]]
        named = [datum for datum in found if datum["MetricName"] == name]
        return [dict(zip(datum["Values"], datum["Counts"], strict=True)) for datum in named]

    def used(self) -> list[bool]:
        return [1.0 in each for each in self.values("Hearth/ECS", "InUse")]


@pytest.fixture
def cloudwatch(embedded: Callable[..., Running]) -> Iterator[Callable[..., tuple[Running, Told]]]:
    """Starts an agent that tells it, as often as it looks."""
    keys = {"AccessKeyId": "ASIATEST", "SecretAccessKey": "secret", "Token": "token"}
    told = Told([])

    def take(asked: Asked) -> tuple[int, bytes]:
        told.asked.append(asked)
        return 200, b"{}"

    with stub(lambda _: (200, json.dumps(keys).encode())) as role, stub(take) as monitoring:

        def start(**settings: str) -> tuple[Running, Told]:
            task = embedded(
                AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="/v2/credentials/1",
                HEARTH_CREDENTIALS_URL=role.url,
                HEARTH_MONITORING_URL=monitoring.url,
                HEARTH_PUBLISH_SECONDS="0",
                HEARTH_REGION="us-east-1",
                **settings,
            )
            task.until(200)
            return task, told

        yield start


def read(task: Running) -> None:
    options = {"num_ctx": NUM_CTX, "num_predict": 100, "temperature": 0}
    task.generate(images=[png(100)], keep_alive="600s", shift=False, options=options)


@pytest.mark.always
def test_it_sends_its_use_to_cloudwatch_signed_with_the_tasks_role(cloudwatch):
    task, told = cloudwatch()
    # Just come: somebody wants it. From then on what is asked of it counts, and not what the agent asks itself.
    assert told.used()[0]
    until(lambda: told.used()[-3:] == [False] * 3)
    before = len(told.used())
    read(task)
    until(lambda: any(told.used()[before:]))
    until(lambda: told.used()[-3:] == [False] * 3)
    assert json.loads(told.asked[0].body)["MetricData"][0]["Dimensions"] == [{"Name": "Pool", "Value": "default"}]
    assert "Credential=ASIATEST/" in told.asked[0].headers["Authorization"]
    assert not told.values("Hearth", "MachinesUp")  # it was not asked for


def test_it_sends_the_metrics_of_machines_so_that_their_alarms_cover_tasks(cloudwatch, tmp_path: Path):
    scripted = tmp_path / "nvidia-smi"
    scripted.write_text("#!/bin/sh\necho 70, 7680, 15360, 60; echo '90, [N/A], 15360, 61'\n")
    scripted.chmod(0o755)
    _, told = cloudwatch(HEARTH_METRICS="yes", PATH=f"{tmp_path}:{os.environ['PATH']}")
    until(lambda: len(told.values("Hearth", "MachinesLeased")) >= 3)
    assert set(map(str, told.values("Hearth", "MachinesUp"))) == {"{1.0: 1}"}
    assert [1.0 in each for each in told.values("Hearth", "MachinesLeased")[:3]] == told.used()[:3]
    assert told.values("Hearth", "GpuUsePercent")[-1].keys() == {70.0, 90.0}
    assert told.values("Hearth", "GpuMemoryPercent")[-1].keys() == {50.0}
    assert told.values("Hearth", "GpuCelsius")[-1].keys() == {60.0, 61.0}
    assert told.values("Hearth/ECS", "GpuUse")[-1].keys() == {80.0}


def test_gpu_use_is_always_sent_for_the_last_minute_only(cloudwatch, tmp_path: Path):
    scripted = tmp_path / "nvidia-smi"
    scripted.write_text("#!/bin/sh\necho 90, 50, 100, 60\n")
    scripted.chmod(0o755)
    _, told = cloudwatch(PATH=f"{tmp_path}:{os.environ['PATH']}")
    until(lambda: len(told.values("Hearth/ECS", "GpuUse")) >= 3)
    scripted.write_text("#!/bin/sh\necho 10, 50, 100, 60\n")
    until(lambda: told.values("Hearth/ECS", "GpuUse")[-1] == {10.0: 1})


def test_kept_connections_count_as_requests_in_flight_only_while_some_end(cloudwatch):
    task, told = cloudwatch(HEARTH_METRICS="yes")
    with httpx.Client(base_url=task.ollama) as kept:
        kept.get("/api/version")
        until(lambda: told.used()[-3:] == [False] * 3)
        assert [each.keys() for each in told.values("Hearth", "Connections")[-2:]] == [{0.0}] * 2
        before = len(told.values("Hearth", "Connections"))
        read(task)
        until(lambda: any(set(each) - {0.0} for each in told.values("Hearth", "Connections")[before:]))
