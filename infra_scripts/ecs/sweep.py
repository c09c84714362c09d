"""Scale the service to zero when it was unused for its idle time. Runs in Lambda every five minutes.

It depends neither on runs nor on alarms: a run may have been killed before its tasks came up, and an alarm may ignore a
metric that was never published.
"""

import os
import time
from datetime import UTC, datetime
from typing import Any

import boto3

NOTE = "sweep"
"""The item of the service's table with the time since which it is unused."""


def handler(_event: object, _context: object) -> str:
    """Sweep once."""
    now, idle = time.time(), float(os.environ["HEARTH_IDLE_MINUTES"]) * 60
    name = os.environ["HEARTH_SERVICE"]
    ecs = boto3.client("ecs")
    found = ecs.describe_services(cluster=name, services=[name])["services"]
    if not any(service["desiredCount"] for service in found):
        return _report(0, "no task is requested")
    if _leased(now):
        return _report(0, "a run uses it")
    since = max(float(_item(NOTE).get("since", {}).get("N", 0)) or now, _used_at(now, idle))
    if now - since < idle:
        return _report(since, f"unused for {now - since:.0f} s")
    # A run that starts at this moment requests its tasks again.
    ecs.update_service(cluster=name, service=name, desiredCount=0)
    return _report(0, f"unused for {now - since:.0f} s: its tasks are ended")


def _leased(now: float) -> bool:
    leases = _item("service").get("leases", {}).get("M", {}).values()
    return any(float(lease["M"]["ends_at"]["N"]) > now for lease in leases)


def _used_at(now: float, idle: float) -> float:
    """Return when a task or a run last reported use; 0 if not within the idle time."""
    points = boto3.client("cloudwatch").get_metric_statistics(
        Namespace="Hearth/ECS",
        MetricName="InUse",
        Dimensions=[{"Name": "Pool", "Value": os.environ["HEARTH_POOL"]}],
        StartTime=datetime.fromtimestamp(now - idle, UTC),
        EndTime=datetime.fromtimestamp(now, UTC),
        Period=60,
        Statistics=["Maximum"],
    )["Datapoints"]
    return max((point["Timestamp"].timestamp() for point in points if point["Maximum"] >= 1), default=0.0)


def _item(name: str) -> dict[str, Any]:
    table = os.environ["HEARTH_TABLE"]
    item: dict[str, Any] = (
        boto3.client("dynamodb").get_item(TableName=table, Key={"id": {"S": name}}, ConsistentRead=True).get("Item", {})
    )
    return item


def _report(since: float, message: str) -> str:
    item = {"id": {"S": NOTE}, "since": {"N": f"{since:.3f}"}}
    boto3.client("dynamodb").put_item(TableName=os.environ["HEARTH_TABLE"], Item=item)
    print(message)  # noqa: T201 - the function's log
    return message
