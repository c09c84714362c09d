"""What `hearth infra up` would have made of a pool, without its code."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import Any

from tests.support.aws.certificates import make_secrets
from tests.support.aws.front import AwsFront
from tests.support.aws.machine import TOKEN_PORT
from tests.support.aws.wire import REGION

ZONES = ("a", "b", "c")


@dataclass(frozen=True)
class Pool:
    """A pool that stands in moto.

    Attributes:
        outputs: of its stack.
        subnets: by the zone's letter.
    """

    name: str
    outputs: dict[str, str]
    subnets: dict[str, str]
    ami: str

    @property
    def stack(self) -> str:
        return f"hearth-{self.name}"


@dataclass(frozen=True)
class Network:
    """A VPC whose addresses are this machine's own: 127.<second>.0.0/16."""

    vpc: str
    subnets: dict[str, str]


def make_network(aws: AwsFront, second: int) -> Network:
    """One subnet a zone."""
    ec2 = aws.behind("ec2")
    vpc = ec2.create_vpc(CidrBlock=f"127.{second}.0.0/16")["Vpc"]["VpcId"]

    def subnet(number: int, zone: str) -> str:
        place = {"CidrBlock": f"127.{second}.{16 * number}.0/20", "AvailabilityZone": REGION + zone}
        return ec2.create_subnet(VpcId=vpc, **place)["Subnet"]["SubnetId"]

    return Network(vpc, {zone: subnet(number, zone) for number, zone in enumerate(ZONES)})


def make_pool(
    aws: AwsFront,
    network: Network,
    name: str = "default",
    *,
    access: str = "private",
    slots: int = 2,
    port: int | None = None,
    config: str = "0123456789ab",
) -> Pool:
    """The stack, its parameters, template, table and log group."""
    ec2 = aws.behind("ec2")
    image = ec2.register_image(
        Name=f"hearth-{name}", Architecture="x86_64", RootDeviceName="/dev/sda1", VirtualizationType="hvm"
    )["ImageId"]
    parameter = f"/hearth/{name}/ami"
    secrets = make_secrets(name) if access == "token" else {}
    for key, value in {parameter: image, **secrets}.items():
        secret = key in secrets and not key.endswith("certificate")
        aws.behind("ssm").put_parameter(Name=key, Value=value, Type="SecureString" if secret else "String")
    template = ec2.create_launch_template(LaunchTemplateName=f"hearth-{name}", LaunchTemplateData=_data(name, config))
    table = f"hearth-{name}"
    aws.behind("dynamodb").create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "day")],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-day",
                "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    outputs = {
        "LaunchTemplateId": template["LaunchTemplate"]["LaunchTemplateId"],
        "LaunchTemplateVersion": "1",
        "TableName": table,
        "LogGroupName": f"/hearth/{name}",
        "AmiParameter": parameter,
        "Subnets": ",".join(network.subnets.values()),
        "Access": access,
        "Port": str(port or (TOKEN_PORT if access == "token" else 11434)),
        "Slots": str(slots),
        "Config": config,
    }
    body = {
        "Resources": {"Logs": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": f"/hearth/{name}"}}},
        "Outputs": {key: {"Value": value} for key, value in outputs.items()},
    }
    aws.behind("cloudformation").create_stack(StackName=f"hearth-{name}", TemplateBody=json.dumps(body))
    return Pool(name, outputs, network.subnets, image)


def end_leases(aws: AwsFront, machine: str, pool: str = "default") -> None:
    """Have the time of all leases on a machine be over, and that of the pool's launch lock, as after a run's death."""
    table, over = {"TableName": f"hearth-{pool}"}, {":over": {"N": str(round(time.time(), 3))}}
    dynamodb = aws.behind("dynamodb")
    found = dynamodb.get_item(**table, Key={"id": {"S": machine}}).get("Item", {})
    for token in found.get("leases", {}).get("M", {}):
        dynamodb.update_item(
            **table,
            Key={"id": {"S": machine}},
            UpdateExpression="SET leases.#token.ends_at = :over",
            ExpressionAttributeNames={"#token": token},
            ExpressionAttributeValues=over,
        )
    lock = {"id": {"S": f"launch#{pool}"}}
    if "Item" in dynamodb.get_item(**table, Key=lock):
        dynamodb.update_item(
            **table, Key=lock, UpdateExpression="SET held_until = :over", ExpressionAttributeValues=over
        )


def _data(pool: str, config: str) -> dict[str, Any]:
    tags = [{"Key": "hearth:pool", "Value": pool}, {"Key": "Name", "Value": f"hearth-{pool}"}]
    return {
        "UserData": base64.b64encode(b"#!/bin/sh\n").decode(),
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [*tags, {"Key": "hearth:config", "Value": config}]},
            {"ResourceType": "volume", "Tags": tags},
        ],
    }
