"""The network, subnets and base image of machines and tasks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from infra_scripts.common.clients import Aws, error_code
from infra_scripts.common.errors import RequestError
from infra_scripts.common.parameters import read_parameter

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef

_NETWORK_STAND_IN = "vpc-0123456789abcdef0", ("subnet-0123456789abcdef0", "subnet-0123456789abcdef1")
_IMAGE_STAND_IN = "ami-0123456789abcdef0"


def network(aws: Aws | None, named: tuple[str, ...], setting: str) -> tuple[str, tuple[str, ...]]:
    """Return the VPC and the subnets that a setting names, or those of the default VPC; without clients, stand-ins.

    Raises:
        RequestError: there is no default VPC, or the named subnets do not exist or are in several VPCs.
    """
    if aws is None:
        return _NETWORK_STAND_IN
    if not named:
        found = aws.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        if not found:
            raise RequestError(
                f"The account has no default VPC in {aws.region}. Name the subnets to launch in: "
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
        subnets = aws.ec2.describe_subnets(SubnetIds=list(named))["Subnets"]
    except ClientError as error:
        if error_code(error).startswith(("InvalidSubnetID", "InvalidParameter")):
            given = ", ".join(named)
            raise RequestError(f"Not all of the subnets {given} exist in {aws.region}. Correct {setting}.") from None
        raise
    networks = {subnet["VpcId"] for subnet in subnets}
    if len(networks) != 1:
        raise RequestError(
            f"The subnets are in several VPCs ({', '.join(sorted(networks))}). Name subnets of one VPC with {setting}."
        )
    return networks.pop(), named


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


def base_image(aws: Aws | None, parameter: str, setting: str, what: str) -> str:
    """Return the image that a public SSM parameter names; without clients, a stand-in.

    Raises:
        RequestError: the parameter does not exist; the message names its setting, and describes a suitable image.
    """
    if aws is None:
        return _IMAGE_STAND_IN
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
