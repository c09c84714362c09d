"""Where machines and tasks are launched: a network with its subnets, and an image that AWS keeps current."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from infra_scripts.common.clients import Aws, code
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


def network(aws: Aws, stack: Placed) -> tuple[str, tuple[str, ...]]:
    """The network to launch in, and its subnets: those given, or the default network's.

    Raises:
        RequestError: there is no default network, or the subnets given do not exist or are not of one network.
    """
    if not stack.subnets:
        found = aws.ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        if not found:
            raise RequestError(
                f"The account has no default VPC in {stack.region}. Name the subnets to launch in: "
                "HEARTH_EC2_STACK__SUBNETS='[\"subnet-...\"]'."
            )
        vpc = found[0]["VpcId"]
        filters: list[FilterTypeDef] = [
            {"Name": "vpc-id", "Values": [vpc]},
            {"Name": "default-for-az", "Values": ["true"]},
        ]
        subnets = aws.ec2.describe_subnets(Filters=filters)["Subnets"]
        if not subnets:
            raise RequestError(f"The default VPC {vpc} has no subnets. Name some with HEARTH_EC2_STACK__SUBNETS.")
        return vpc, tuple(sorted(subnet["SubnetId"] for subnet in subnets))
    try:
        subnets = aws.ec2.describe_subnets(SubnetIds=list(stack.subnets))["Subnets"]
    except ClientError as error:
        if code(error).startswith(("InvalidSubnetID", "InvalidParameter")):
            given = ", ".join(stack.subnets)
            raise RequestError(f"Not all of the subnets {given} exist in {stack.region}. Correct them.") from None
        raise
    networks = {subnet["VpcId"] for subnet in subnets}
    if len(networks) != 1:
        raise RequestError(f"The subnets are of several VPCs ({', '.join(sorted(networks))}); name those of one.")
    return networks.pop(), stack.subnets


def base_image(aws: Aws, parameter: str) -> str:
    """The image that a public parameter names.

    Raises:
        RequestError: there is no such parameter.
    """
    ami = read_parameter(aws, parameter)
    if ami is None:
        raise RequestError(
            f"There is no parameter {parameter} in {aws.region}. Set HEARTH_EC2_STACK__BASE_AMI_PARAMETER to one that "
            "names an Ubuntu image, with NVIDIA's driver for machines with a GPU."
        )
    return ami
