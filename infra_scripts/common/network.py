"""The network, subnets and base image of machines and tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from infra_scripts.common.clients import Aws, error_code
from infra_scripts.common.errors import RequestError
from infra_scripts.common.parameters import read_parameter

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef


STAND_INS: Mapping[str, Any] = {
    "vpc": "vpc-0123456789abcdef0",
    "subnets": ("subnet-0123456789abcdef0", "subnet-0123456789abcdef1"),
}
"""A network for requests that are built without asking AWS."""
AMI_STAND_IN = "ami-0123456789abcdef0"


class Placed(Protocol):
    """A stack with a region and subnets."""

    @property
    def region(self) -> str:
        """The AWS region."""
        ...

    @property
    def subnets(self) -> tuple[str, ...]:
        """The subnets; those of the default VPC if empty."""
        ...


def network(aws: Aws, stack: Placed, setting: str) -> tuple[str, tuple[str, ...]]:
    """Return the VPC and the subnets of a stack: its own, or those of the default VPC.

    Args:
        aws: clients of the account.
        stack: the stack.
        setting: the variable that names the subnets.

    Raises:
        RequestError: there is no default VPC, or the stack's subnets do not exist or are in several VPCs.
    """
    if not stack.subnets:
        found = aws.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        if not found:
            raise RequestError(
                f"The account has no default VPC in {stack.region}. Name the subnets to launch in: "
                f"{setting}='[\"subnet-...\"]'."
            )
        vpc = found[0]["VpcId"]
        filters: list[FilterTypeDef] = [
            {"Name": "vpc-id", "Values": [vpc]},
            {"Name": "default-for-az", "Values": ["true"]},
        ]
        subnets = aws.ec2.describe_subnets(Filters=filters)["Subnets"]
        if not subnets:
            raise RequestError(f"The default VPC {vpc} has no subnets. Name some with {setting}.")
        return vpc, tuple(sorted(subnet["SubnetId"] for subnet in subnets))
    try:
        subnets = aws.ec2.describe_subnets(SubnetIds=list(stack.subnets))["Subnets"]
    except ClientError as error:
        if error_code(error).startswith(("InvalidSubnetID", "InvalidParameter")):
            given = ", ".join(stack.subnets)
            raise RequestError(f"Not all of the subnets {given} exist in {stack.region}. Correct {setting}.") from None
        raise
    networks = {subnet["VpcId"] for subnet in subnets}
    if len(networks) != 1:
        raise RequestError(
            f"The subnets are in several VPCs ({', '.join(sorted(networks))}). Name subnets of one VPC with {setting}."
        )
    return networks.pop(), stack.subnets


def check_balancer_subnets(aws: Aws, subnets: tuple[str, ...], setting: str) -> None:
    """Check that a load balancer can use the subnets: at least two zones, with one subnet in each.

    Raises:
        RequestError: it cannot use them.
    """
    found = aws.ec2.describe_subnets(SubnetIds=list(subnets))["Subnets"]
    zones = Counter(subnet["AvailabilityZone"] for subnet in found)
    if len(zones) < 2:
        raise RequestError(
            f"A load balancer needs subnets in two zones, and {', '.join(subnets)} "
            f"{'is' if len(subnets) == 1 else 'are all'} in {', '.join(zones)}. Name others with {setting}."
        )
    if twice := [zone for zone, count in zones.items() if count > 1]:
        raise RequestError(
            f"A load balancer takes one subnet in each zone, but {', '.join(subnets)} contain several in "
            f"{', '.join(twice)}. Name one in each zone with {setting}."
        )


def base_image(aws: Aws, parameter: str, setting: str, what: str) -> str:
    """Return the image that a public SSM parameter names.

    Args:
        aws: clients of the account.
        parameter: name of the parameter.
        setting: the variable that names the parameter.
        what: description of a suitable image, for the error.

    Raises:
        RequestError: the parameter does not exist.
    """
    ami = read_parameter(aws, parameter)
    if ami is None:
        raise RequestError(
            f"The SSM parameter {parameter} does not exist in {aws.region}. Set {setting} to one that names {what}."
        )
    return ami


def check_disk_size(aws: Aws, ami: str, disk_gb: int, setting: str) -> None:
    """Check that an image fits on the disk: EC2 launches no machine whose disk is smaller than its snapshot.

    Raises:
        RequestError: the image does not fit.
    """
    for image in aws.ec2.describe_images(ImageIds=[ami])["Images"]:
        root = image.get("RootDeviceName")
        for mapping in image.get("BlockDeviceMappings", []):
            size = mapping.get("Ebs", {}).get("VolumeSize", 0)
            if mapping.get("DeviceName") == root and size > disk_gb:
                raise RequestError(
                    f"The image {ami} has {size} GB, but the disk only {disk_gb} GB, so EC2 would launch no machine. "
                    f"Set {setting} to at least {size}."
                )
