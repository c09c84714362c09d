"""The Lambda function that ends machines which were stopped long ago, on moto with the test's clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import boto3
import pytest

from infra_scripts.ec2 import sweep
from tasks.aws.client import Aws
from tasks.leasing.lease import Lease
from tasks.leasing.leases import Records
from tasks.leasing.table import Table
from tests.support.infra.fixtures import Cloud

pytestmark = pytest.mark.long("launches a machine for each test: 1 s")

TABLE = "hearth-default"
KEEP_HOURS = 24
Look = Callable[[float], list[str]]


@pytest.fixture
def look(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Look:
    """A look so many hours later."""
    for name, value in {"POOL": "default", "TABLE": TABLE, "TERMINATE_HOURS": str(KEEP_HOURS)}.items():
        monkeypatch.setenv(f"HEARTH_{name}", value)
    boto3.client("dynamodb").create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    start = time.time()

    def look(hours: float) -> list[str]:
        with monkeypatch.context() as patch:
            patch.setattr(sweep.time, "time", lambda: start + hours * 3600)
            return sweep.handler({}, None)

    return look


def machine(cloud: Cloud, *, pool: str = "default", stop: bool = True) -> str:
    tags = [{"Key": "hearth:pool", "Value": pool}]
    made = cloud.aws.ec2.run_instances(
        ImageId=cloud.base_image(),
        InstanceType="g4dn.xlarge",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],  # type: ignore[list-item]
    )["Instances"][0]["InstanceId"]
    if stop:
        cloud.aws.ec2.stop_instances(InstanceIds=[made])
    return made


def records() -> Records:
    return Records(Table(Aws(), TABLE))


def take(name: str, hours: float) -> bool:
    """A run that leases the machine until so many hours from now."""
    return asyncio.run(records().take(name, Lease("a run", 8, time.time() + hours * 3600)))


@pytest.mark.always
def test_a_machine_that_was_stopped_long_ago_is_ended_with_its_disk(cloud: Cloud, look: Look):
    stopped = machine(cloud)
    assert look(0) == []
    assert look(KEEP_HOURS - 1) == []
    assert cloud.state(stopped) == "stopped"
    assert look(KEEP_HOURS + 1) == [f"{stopped} was stopped for long: terminated"]
    assert cloud.state(stopped) == "terminated"


def test_without_a_stop_time_in_ec2_the_first_check_counts(cloud: Cloud, look: Look, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweep, "STOP_TIME", sweep.re.compile("never"))
    stopped = machine(cloud)
    assert look(10) == []
    assert look(10 + KEEP_HOURS - 1) == []
    look(10 + KEEP_HOURS + 0.1)
    assert cloud.state(stopped) == "terminated"


def test_running_machines_and_other_pools_are_not_changed(cloud: Cloud, look: Look):
    running, other = machine(cloud, stop=False), machine(cloud, pool="night")
    assert look(1000) == []
    assert (cloud.state(running), cloud.state(other)) == ("running", "stopped")


def test_a_machine_leased_for_a_start_is_not_ended(cloud: Cloud, look: Look):
    stopped = machine(cloud)
    look(0)
    assert take(stopped, 1000)
    assert look(KEEP_HOURS + 1) == []
    assert cloud.state(stopped) == "stopped"


def test_a_run_between_check_and_end_keeps_the_machine(cloud: Cloud, look: Look, monkeypatch: pytest.MonkeyPatch):
    stopped = machine(cloud)
    look(0)
    leased = sweep.is_leased

    def and_then_a_run_comes(record: dict[str, object], now: float) -> bool:
        found = leased(record, now)
        assert take(stopped, 1)
        return found

    monkeypatch.setattr(sweep, "is_leased", and_then_a_run_comes)
    assert look(KEEP_HOURS + 1) == []
    assert cloud.state(stopped) == "stopped"


def test_a_machine_that_is_being_ended_admits_no_run(cloud: Cloud, look: Look, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sweep, "detached_disks", lambda *_: ())
    stopped = machine(cloud)
    look(0)
    look(KEEP_HOURS + 1)
    assert not take(stopped, 1)


def test_a_disk_unattached_for_an_hour_is_deleted(cloud: Cloud, look: Look):
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "hearth:pool", "Value": "default"}]}]
    disk = cloud.aws.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, TagSpecifications=tags)["VolumeId"]  # type: ignore[arg-type]
    assert look(0.5) == []
    assert look(2) == [f"{disk}: no machine has it: deleted"]
