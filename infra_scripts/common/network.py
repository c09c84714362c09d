"""Where machines and tasks are launched: a network with its subnets, and an image that AWS keeps current."""

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
"""A network where AWS is not asked for one."""
AMI_STAND_IN = "ami-0123456789abcdef0"


class Placed(Protocol):
    """What has a place: a region, and perhaps subnets."""

    @property
    def region(self) -> str:
        """Where."""
        ...

    @property
    def subnets(self) -> tuple[str, ...]:
        """Those of the default VPC if empty."""
        ...


def network(aws: Aws, stack: Placed, setting: str) -> tuple[str, tuple[str, ...]]:
    """The network to launch in, and its subnets: those given, or the default network's.

    Args:
        aws: the account.
        stack: what is placed there.
        setting: the variable that names the subnets.

    Raises:
        RequestError: there is no default network, or the subnets given do not exist or are not of one network.
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
            raise RequestError(f"Not all of the subnets {given} exist in {stack.region}. Correct them.") from None
        raise
    networks = {subnet["VpcId"] for subnet in subnets}
    if len(networks) != 1:
        raise RequestError(f"The subnets are of several VPCs ({', '.join(sorted(networks))}); name those of one.")
    return networks.pop(), stack.subnets


def check_balancer_subnets(aws: Aws, subnets: tuple[str, ...], setting: str) -> None:
    """See that a load balancer can be in these subnets: in two zones at least, and in each of them once.

    Raises:
        RequestError: it cannot.
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
            f"A load balancer takes one subnet of a zone, and {', '.join(subnets)} are several of {', '.join(twice)}. "
            f"Name one of each zone with {setting}."
        )


def base_image(aws: Aws, parameter: str, setting: str, what: str) -> str:
    """The image that a public parameter names.

    Args:
        aws: the account.
        parameter: its name.
        setting: the variable that names the parameter.
        what: the image that is wanted, for whoever has to name another.

    Raises:
        RequestError: there is no such parameter.
    """
    ami = read_parameter(aws, parameter)
    if ami is None:
        raise RequestError(
            f"There is no parameter {parameter} in {aws.region}. Set {setting} to one that names {what}."
        )
    return ami


def check_disk_size(aws: Aws, ami: str, disk_gb: int, setting: str) -> None:
    """See that an image fits on the disk: EC2 launches nothing whose disk is smaller than the snapshot on it.

    Raises:
        RequestError: it does not fit.
    """
    for image in aws.ec2.describe_images(ImageIds=[ami])["Images"]:
        root = image.get("RootDeviceName")
        for mapping in image.get("BlockDeviceMappings", []):
            size = mapping.get("Ebs", {}).get("VolumeSize", 0)
            if mapping.get("DeviceName") == root and size > disk_gb:
                raise RequestError(
                    f"The image {ami} has {size} GB, and the disk {disk_gb} GB: EC2 would launch nothing. "
                    f"Set {setting} to {size} at least."
                )
