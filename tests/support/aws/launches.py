"""A launch as Hearth does it, in plain boto3."""

from __future__ import annotations

from typing import Any

from tests.support.aws.front import AwsFront
from tests.support.aws.pool import Pool


def fleet(aws: AwsFront, pool: Pool, market: str = "on-demand", zones: str = "abc", **changes: Any) -> dict[str, Any]:
    """CreateFleet for one g4dn.xlarge in the first zone that has one."""
    overrides = [{"InstanceType": "g4dn.xlarge", "SubnetId": pool.subnets[zone], "ImageId": pool.ami} for zone in zones]
    version = {
        "LaunchTemplateId": pool.outputs["LaunchTemplateId"],
        "Version": pool.outputs["LaunchTemplateVersion"],
    }
    request = {
        "Type": "instant",
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": version, "Overrides": overrides}],
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": market},
    }
    return aws.client("ec2").create_fleet(**request | changes)


def launch(aws: AwsFront, pool: Pool, market: str = "on-demand", **changes: Any) -> str:
    """The id of a new instance."""
    (launched,) = fleet(aws, pool, market, **changes)["Instances"]
    return launched["InstanceIds"][0]


def described(aws: AwsFront, *instances: str, **filters: list[str]) -> list[dict[str, Any]]:
    """DescribeInstances."""
    asked = [{"Name": name.replace("_", "-"), "Values": values} for name, values in filters.items()]
    answer = aws.client("ec2").describe_instances(InstanceIds=list(instances), Filters=asked)
    return [one for reservation in answer["Reservations"] for one in reservation["Instances"]]


def state(aws: AwsFront, instance: str) -> str:
    """As DescribeInstances tells it."""
    return described(aws, instance)[0]["State"]["Name"]
