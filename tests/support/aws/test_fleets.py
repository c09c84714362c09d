"""Launches and the lives of instances are told as EC2 tells them, where moto does not."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.aws.front import AwsFront
from tests.support.aws.launches import described, fleet, launch, state
from tests.support.aws.pool import Pool
from tests.support.waiting import until

pytestmark = pytest.mark.long("tests the harness")

ONCE = Config(retries={"total_max_attempts": 1})


def refused(action, *arguments, **options) -> str:
    with pytest.raises(ClientError) as caught:
        action(*arguments, **options)
    return caught.value.response["Error"]["Code"]


def zone(aws: AwsFront, instance: str) -> str:
    return described(aws, instance)[0]["Placement"]["AvailabilityZone"][-1]


def test_a_token_launches_once(aws: AwsFront, pool: Pool):
    first = fleet(aws, pool, ClientToken="token")
    second = fleet(aws, pool, ClientToken="token")
    assert first["Instances"] == second["Instances"]
    assert len(described(aws)) == 1
    assert refused(fleet, aws, pool, "spot", ClientToken="token") == "IdempotentParameterMismatch"
    fleet(aws, pool, ClientToken="another")
    assert len(described(aws)) == 2


@pytest.mark.parametrize("market", ["spot", "on-demand"])
def test_zones_without_capacity_are_passed_over_and_told(aws: AwsFront, pool: Pool, market):
    aws.capacity.none(market, zone="a")
    aws.capacity.none(market, zone="us-east-1b", type="g4dn.*")
    answer = fleet(aws, pool, market)
    assert [each["ErrorCode"] for each in answer["Errors"]] == ["InsufficientInstanceCapacity"] * 2
    overrides = answer["Errors"][0]["LaunchTemplateAndOverrides"]["Overrides"]
    assert overrides["SubnetId"] == pool.subnets["a"]
    assert answer["Errors"][0]["Lifecycle"] == market
    assert zone(aws, answer["Instances"][0]["InstanceIds"][0]) == "c"


def test_without_any_capacity_a_fleet_is_empty(aws: AwsFront, pool: Pool):
    aws.capacity.none()
    answer = fleet(aws, pool)
    assert (len(answer["Errors"]), answer["Instances"]) == (3, [])
    aws.capacity.restore()
    assert fleet(aws, pool)["Instances"]


def test_capacity_runs_out(aws: AwsFront, pool: Pool):
    aws.capacity.limit(1, "spot")
    assert fleet(aws, pool, "spot")["Instances"]
    assert not fleet(aws, pool, "spot")["Instances"]
    assert fleet(aws, pool, "on-demand")["Instances"]


@pytest.mark.parametrize(
    ("market", "code"), [("spot", "MaxSpotInstanceCountExceeded"), ("on-demand", "VcpuLimitExceeded")]
)
def test_a_quota_has_a_code_of_its_own(aws: AwsFront, pool: Pool, market, code):
    aws.capacity.quota(market)
    assert {each["ErrorCode"] for each in fleet(aws, pool, market)["Errors"]} == {code}


def test_priorities_count_where_the_strategy_says_so(aws: AwsFront, pool: Pool):
    (config,) = [{"LaunchTemplateId": pool.outputs["LaunchTemplateId"], "Version": "1"}]
    kinds = {"a": ("g4dn.xlarge", 2.0), "b": ("g5.xlarge", 1.0)}
    overrides = [
        {"InstanceType": kind, "SubnetId": pool.subnets[zone], "ImageId": pool.ami, "Priority": priority}
        for zone, (kind, priority) in kinds.items()
    ]
    configs = [{"LaunchTemplateSpecification": config, "Overrides": overrides}]
    for options, wanted in (
        ({"OnDemandOptions": {"AllocationStrategy": "prioritized"}}, "g5.xlarge"),
        ({}, "g4dn.xlarge"),
    ):
        name = launch(aws, pool, LaunchTemplateConfigs=configs, **options)
        assert described(aws, name)[0]["InstanceType"] == wanted


def test_the_template_s_tags_behaviour_and_metadata_options_hold(aws: AwsFront, pool: Pool):
    name = launch(aws, pool)
    (one,) = described(aws, name)
    assert {each["Key"]: each["Value"] for each in one["Tags"]}["hearth:config"] == pool.outputs["Config"]
    assert one["MetadataOptions"]["HttpTokens"] == "required"
    ec2 = aws.client("ec2")
    asked = {"InstanceId": name, "Attribute": "instanceInitiatedShutdownBehavior"}
    assert ec2.describe_instance_attribute(**asked)["InstanceInitiatedShutdownBehavior"] == {"Value": "terminate"}
    ec2.modify_instance_attribute(InstanceId=name, InstanceInitiatedShutdownBehavior={"Value": "stop"})
    assert ec2.describe_instance_attribute(**asked)["InstanceInitiatedShutdownBehavior"] == {"Value": "stop"}


def test_unknown_images_and_types_are_refused(aws: AwsFront, pool: Pool):
    run = aws.client("ec2", config=ONCE).run_instances
    one = {"MinCount": 1, "MaxCount": 1, "SubnetId": pool.subnets["a"]}
    assert refused(run, ImageId="ami-1234567890abcdef0", InstanceType="g4dn.xlarge", **one).startswith("InvalidAMIID")
    assert refused(run, ImageId=pool.ami, InstanceType="g99.huge", **one).startswith("InvalidInstanceType")
    aws.capacity.none("on-demand", zone="a")
    assert refused(run, ImageId=pool.ami, InstanceType="g4dn.xlarge", **one) == "InsufficientInstanceCapacity"


def test_states_take_time(aws: AwsFront, pool: Pool):
    ec2 = aws.client("ec2", config=ONCE)
    aws.takes(pending=36_000, stopping=36_000, shutting_down=36_000)
    name = launch(aws, pool)
    assert state(aws, name) == "pending"
    assert refused(ec2.stop_instances, InstanceIds=[name]) == "IncorrectInstanceState"
    assert described(aws, instance_state_name=["running"]) == []
    aws.lifecycle.settle()
    assert state(aws, name) == "running"

    changed = ec2.stop_instances(InstanceIds=[name])["StoppingInstances"][0]
    assert (changed["PreviousState"]["Name"], changed["CurrentState"]["Name"]) == ("running", "stopping")
    assert described(aws, instance_state_name=["stopping"])
    assert refused(ec2.start_instances, InstanceIds=[name]) == "IncorrectInstanceState"
    aws.lifecycle.settle()
    assert state(aws, name) == "stopped"

    ec2.terminate_instances(InstanceIds=[name])
    assert state(aws, name) == "shutting-down"
    aws.lifecycle.settle()
    assert state(aws, name) == "terminated"
    again = ec2.terminate_instances(InstanceIds=[name])["TerminatingInstances"][0]
    assert again["CurrentState"]["Name"] == "terminated"
    assert refused(ec2.start_instances, InstanceIds=[name]) == "IncorrectInstanceState"


def test_states_end_by_themselves(aws: AwsFront, pool: Pool):
    aws.takes(pending=0.5)
    began = time.monotonic()
    name = launch(aws, pool)
    until(lambda: state(aws, name) == "running")
    assert time.monotonic() - began >= 0.5


def test_a_start_renews_the_launch_time_and_keeps_the_address(aws: AwsFront, pool: Pool):
    ec2 = aws.client("ec2")
    name = launch(aws, pool)
    before = described(aws, name)[0]
    time.sleep(1.1)
    ec2.stop_instances(InstanceIds=[name])
    began = datetime.now(UTC).replace(microsecond=0)
    ec2.start_instances(InstanceIds=[name])
    after = described(aws, name)[0]
    assert after["LaunchTime"] > before["LaunchTime"]
    assert began <= after["LaunchTime"] <= datetime.now(UTC)
    assert after["PrivateIpAddress"] == before["PrivateIpAddress"]
    assert after["PrivateIpAddress"].startswith("127.")


def test_a_stopped_machine_may_find_no_capacity(aws: AwsFront, pool: Pool):
    ec2 = aws.client("ec2", config=ONCE)
    name = launch(aws, pool)
    ec2.stop_instances(InstanceIds=[name])
    rule = aws.capacity.none("on-demand", zone="a")
    assert refused(ec2.start_instances, InstanceIds=[name]) == "InsufficientInstanceCapacity"
    aws.capacity.rules.remove(rule)
    aws.capacity.quota("on-demand")
    assert refused(ec2.start_instances, InstanceIds=[name]) == "VcpuLimitExceeded"
    aws.capacity.restore()
    ec2.start_instances(InstanceIds=[name])
    assert state(aws, name) == "running"


def test_a_one_time_spot_machine_cannot_be_stopped(aws: AwsFront, pool: Pool):
    name = launch(aws, pool, "spot")
    one = described(aws, name)[0]
    assert one["InstanceLifecycle"] == "spot"
    assert refused(aws.client("ec2").stop_instances, InstanceIds=[name]) == "UnsupportedOperation"
    (request,) = aws.client("ec2").describe_spot_instance_requests(Filters=[{"Name": "instance-id", "Values": [name]}])[
        "SpotInstanceRequests"
    ]
    assert request["SpotInstanceRequestId"] == one["SpotInstanceRequestId"]
    assert (request["Type"], request["State"], request["Status"]["Code"]) == ("one-time", "active", "fulfilled")
    aws.client("ec2").terminate_instances(InstanceIds=[name])
    (request,) = aws.client("ec2").describe_spot_instance_requests()["SpotInstanceRequests"]
    assert (request["State"], request["Status"]["Code"]) == ("closed", "instance-terminated-by-user")


def test_new_machines_come_into_sight_late(aws: AwsFront, pool: Pool):
    old = launch(aws, pool)
    aws.invisible_for(36_000)
    new = launch(aws, pool)
    ec2 = aws.client("ec2", config=ONCE)
    assert [one["InstanceId"] for one in described(aws)] == [old]
    assert refused(ec2.describe_instances, InstanceIds=[new]) == "InvalidInstanceID.NotFound"
    tag = {"Tags": [{"Key": "a", "Value": "b"}]}
    assert refused(ec2.create_tags, Resources=[new], **tag) == "InvalidInstanceID.NotFound"
    aws.lifecycle.settle()
    assert state(aws, new) == "running"
    ec2.create_tags(Resources=[new], **tag)


def test_filters_are_those_of_ec2(aws: AwsFront, pool: Pool):
    spot, other = launch(aws, pool, "spot"), launch(aws, pool, zones="b")

    def found(**filters: list[str]) -> set[str]:
        asked = [
            {"Name": name.replace("__", ":").replace("_", "-"), "Values": values} for name, values in filters.items()
        ]
        answer = aws.client("ec2").describe_instances(Filters=asked)
        return {one["InstanceId"] for each in answer["Reservations"] for one in each["Instances"]}

    assert found(instance_lifecycle=["spot"]) == {spot}
    assert found(tag__Name=["hearth-*"]) == {spot, other}
    assert found(tag__hearth__pool=["default"], availability_zone=["us-east-1b"]) == {other}
    assert found(tag_key=["hearth:pool"], instance_state_name=["running", "pending"]) == {spot, other}
    assert found(tag__hearth__pool=["none"]) == set()
    assert found(vpc_id=["none"]) == set()
