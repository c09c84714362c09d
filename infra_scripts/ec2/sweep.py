"""Terminate machines that were stopped for long, and delete detached disks. Runs in Lambda every five minutes.

The deployment `sweep-machines` does more, but needs a Prefect worker. This function depends on nothing, so that no disk
is paid for without end. Like every reaper it closes a machine's record to leases before it terminates the machine, on
the condition that the record has not changed since it was read without a lease (tasks/leasing/leases.py).
"""

import os
import re
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import boto3
from botocore.exceptions import ClientError

CLOSED_SECONDS = 90
DISK_SECONDS = 3600
FORGET_SECONDS = 90 * 86_400
# EC2 does not guarantee the format. If it differs, the time counts from the first sweep that saw the machine stopped.
STOP_TIME = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?:GMT|UTC)\)")


def handler(_event: object, _context: object) -> list[str]:
    """Sweep once."""
    now, keep = time.time(), float(os.environ["HEARTH_TERMINATE_HOURS"]) * 3600
    ec2 = boto3.client("ec2")
    done = []
    for machine in _stopped(ec2):
        record = _record(machine["InstanceId"], now)
        if now - _stopped_at(machine, record) < keep or is_leased(record, now):
            continue
        if _closed(machine["InstanceId"], record, now):
            ec2.terminate_instances(InstanceIds=[machine["InstanceId"]])
            done.append(f"{machine['InstanceId']} was stopped for long: terminated")
    for disk in detached_disks(ec2, now):
        try:
            ec2.delete_volume(VolumeId=disk)
            done.append(f"{disk}: no machine has it: deleted")
        except ClientError as error:
            done.append(f"{disk} is left: {error}")
    for line in done:
        print(line)  # noqa: T201 - the function's log
    return done


def _stopped(ec2: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - nothing is installed where this runs
    filters = [_pool_filter(), {"Name": "instance-state-name", "Values": ["stopped"]}]
    for page in ec2.get_paginator("describe_instances").paginate(Filters=filters):
        for reservation in page["Reservations"]:
            yield from reservation["Instances"]


def detached_disks(ec2: Any, now: float) -> Iterator[str]:  # noqa: ANN401 - as above
    """Yield the ids of the pool's disks that no machine has had for an hour."""
    filters = [_pool_filter(), {"Name": "status", "Values": ["available"]}]
    for page in ec2.get_paginator("describe_volumes").paginate(Filters=filters):
        for disk in page["Volumes"]:
            if now - disk["CreateTime"].timestamp() > DISK_SECONDS:
                yield disk["VolumeId"]


def _pool_filter() -> dict[str, Any]:
    return {"Name": "tag:hearth:pool", "Values": [os.environ["HEARTH_POOL"]]}


def _stopped_at(machine: dict[str, Any], record: dict[str, Any]) -> float:
    noted = float(record["stopped_at"]["N"])
    found = STOP_TIME.search(machine.get("StateTransitionReason", ""))
    if found is None:
        return noted
    reported = datetime.strptime(f"{found[1]} +0000", "%Y-%m-%d %H:%M:%S %z").timestamp()
    return min(reported, noted) if noted else reported


def is_leased(record: dict[str, Any], now: float) -> bool:
    """Whether a run holds a lease, or the record is closed to leases."""
    leases = record["leases"]["M"].values()
    return float(record["closed_until"]["N"]) > now or any(float(lease["M"]["ends_at"]["N"]) > now for lease in leases)


def _record(machine: str, now: float) -> dict[str, Any]:
    """Return the machine's record with the time since which it is seen stopped; create it if it is missing."""
    key, zero = {"id": {"S": machine}}, {"N": "0"}
    counters = dict.fromkeys(("closed_until", "released_at", "stopped_at", "version"), zero)
    fresh = {**key, **counters, "leases": {"M": {}}, "forget_at": {"N": f"{now + FORGET_SECONDS:.0f}"}}
    _changed("put_item", Item=fresh, ConditionExpression="attribute_not_exists(id)")
    _changed(
        "update_item",
        Key=key,
        UpdateExpression="SET stopped_at = :now ADD version :one",
        ConditionExpression="stopped_at = :zero",
        ExpressionAttributeValues={":now": {"N": f"{now:.3f}"}, ":zero": zero, ":one": {"N": "1"}},
    )
    table = boto3.client("dynamodb")
    item: dict[str, Any] = table.get_item(TableName=os.environ["HEARTH_TABLE"], Key=key, ConsistentRead=True)["Item"]
    return item


def _closed(machine: str, record: dict[str, Any], now: float) -> bool:
    """Close the record to leases; return False if it has changed since it was read."""
    return _changed(
        "update_item",
        Key={"id": {"S": machine}},
        UpdateExpression="SET closed_until = :until, closed_by = :token ADD version :one",
        ConditionExpression="version = :seen",
        ExpressionAttributeValues={
            ":until": {"N": f"{now + CLOSED_SECONDS:.3f}"},
            ":token": {"S": uuid.uuid4().hex[:16]},
            ":seen": record["version"],
            ":one": {"N": "1"},
        },
    )


def _changed(operation: str, **arguments: Any) -> bool:  # noqa: ANN401 - of any operation
    """Change the table; return False if the condition does not hold."""
    try:
        getattr(boto3.client("dynamodb"), operation)(TableName=os.environ["HEARTH_TABLE"], **arguments)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return False
    return True
