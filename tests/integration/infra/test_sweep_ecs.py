"""The Lambda function that ends tasks when nobody uses the service, on moto with the test's clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest

from infra_scripts.ecs import sweep
from tests.support.aws.tables import make_table

pytestmark = pytest.mark.long("runs the sweep's function for each case: 10 s in all")

NAME = "hearth-ecs-default"
IDLE_MINUTES = 10
Look = Callable[[float], str]


@pytest.fixture
def look(aws_environment: str, monkeypatch: pytest.MonkeyPatch) -> Look:
    """A service that somebody wants two tasks of, and a look at it so many minutes later."""
    del aws_environment
    values = {"POOL": "default", "SERVICE": NAME, "TABLE": NAME, "IDLE_MINUTES": str(IDLE_MINUTES)}
    for name, value in values.items():
        monkeypatch.setenv(f"HEARTH_{name}", value)
    ecs: Any = boto3.client("ecs")
    ecs.create_cluster(clusterName=NAME)
    containers = [{"name": "ollama", "image": "ollama", "memory": 512}]
    ecs.register_task_definition(family=NAME, containerDefinitions=containers)
    ecs.create_service(cluster=NAME, serviceName=NAME, taskDefinition=NAME, desiredCount=2)
    make_table(boto3.client("dynamodb"), NAME)
    start = time.time()

    def look(minutes: float) -> str:
        monkeypatch.setattr(sweep.time, "time", lambda: start + minutes * 60)
        return sweep.handler({}, None)

    return look


def desired() -> int:
    found: int = boto3.client("ecs").describe_services(cluster=NAME, services=[NAME])["services"][0]["desiredCount"]
    return found


def lease(minutes: float) -> None:
    """A run's lease that ends so many minutes from now."""
    ends = {"N": f"{time.time() + minutes * 60:.3f}"}
    held = {"M": {"holder": {"S": "a run"}, "slots": {"N": "4"}, "since": {"N": "0"}, "ends_at": ends}}
    item: Any = {"id": {"S": "service"}, "leases": {"M": {"token": held}}}
    boto3.client("dynamodb").put_item(TableName=NAME, Item=item)


def publish(minutes: float, value: float = 1.0) -> None:
    """What a task or a run tells CloudWatch."""
    at = datetime.fromtimestamp(time.time() + minutes * 60, UTC)
    data: Any = {"MetricName": "InUse", "Dimensions": [{"Name": "Pool", "Value": "default"}], "Value": value}
    boto3.client("cloudwatch").put_metric_data(Namespace="Hearth/ECS", MetricData=[{**data, "Timestamp": at}])


def test_tasks_that_never_get_healthy_are_ended_without_any_metric(look: Look):
    assert "unused for" in look(0)
    look(5)
    assert desired() == 2
    assert "its tasks are ended" in look(IDLE_MINUTES + 0.1)
    assert desired() == 0


def test_the_tasks_of_a_killed_run_end_after_its_lease_and_the_idle_time(look: Look):
    lease(3)
    assert look(0) == "a run uses it"
    look(5)  # the first look without a lease
    look(5 + IDLE_MINUTES - 1)
    assert desired() == 2
    look(5 + IDLE_MINUTES + 0.1)
    assert desired() == 0


def test_an_active_run_keeps_its_tasks(look: Look):
    lease(10_000)
    for minutes in (0, 60, 600):
        assert look(minutes) == "a run uses it"
    assert desired() == 2


def test_requests_without_a_lease_count_as_use(look: Look):
    look(0)
    publish(8)
    look(IDLE_MINUTES + 0.1)
    assert desired() == 2
    look(8 + IDLE_MINUTES + 1)
    assert desired() == 0


def test_a_task_that_reports_itself_idle_is_not_in_use(look: Look):
    look(0)
    publish(8, value=0.0)
    look(IDLE_MINUTES + 0.1)
    assert desired() == 0


def test_the_idle_time_begins_again_with_the_next_run(look: Look):
    look(0)
    lease(20)
    look(15)
    lease(-1)
    look(21)
    assert desired() == 2  # the idle time counts from here
    look(21 + IDLE_MINUTES + 0.1)
    assert desired() == 0


def test_without_a_desired_task_nothing_is_checked(look: Look):
    boto3.client("ecs").update_service(cluster=NAME, service=NAME, desiredCount=0)
    assert look(0) == "no task is requested"
    boto3.client("ecs").update_service(cluster=NAME, service=NAME, desiredCount=2)
    look(60)
    assert desired() == 2
