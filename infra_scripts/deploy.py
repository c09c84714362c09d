"""Bring a pool's stack up, and take all of a pool down."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from botocore.exceptions import ClientError

from infra_scripts.access import (
    delete_parameters,
    ensure_secrets,
    existing_parameters,
    parameter_names,
    read_parameter,
)
from infra_scripts.clients import Aws, Listener, code, told
from infra_scripts.ec2 import Ec2Stack, parameters, template
from infra_scripts.errors import InUseError, LeftoverError, RequestError, StackError
from infra_scripts.machines import (
    POOL_TAG,
    delete_image,
    delete_snapshot,
    delete_volume,
    images,
    machines,
    snapshots,
    terminate,
    volumes,
)
from infra_scripts.stack import Change, Stack

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import FilterTypeDef

BASE_TAG = "hearth:base"
"""On a baked image: the parameter of the image that it was baked from."""
_POLL_SECONDS = 3.0
_LOOKS = 5


@dataclass(frozen=True)
class Up:
    """What `up` did."""

    change: Change
    outputs: dict[str, str]


@dataclass(frozen=True)
class Down:
    """What `down` did."""

    terminated: tuple[str, ...]
    kept: tuple[str, ...]
    """Baked images, as nobody asked to delete them: their snapshots cost about USD 0.05 per GB and month."""


def up(aws: Aws, stack: Ec2Stack, listener: Listener, *, poll_seconds: float = _POLL_SECONDS) -> Up:
    """Create or update a pool's stack; all of it can be run again at any time.

    Raises:
        RequestError: there is no network or no image to use.
        AccessError: AWS refuses.
        StackError: the stack could not be brought there.
    """
    with told():
        vpc, subnets = network(aws, stack)
        ami = _image(aws, stack, listener)
        if stack.access == "token":
            ensure_secrets(aws, stack.pool, listener)
        values = parameters(stack, vpc=vpc, subnets=subnets, ami=ami)
        made = Stack(aws, stack.name, listener, poll_seconds=poll_seconds)
        change = made.bring_to(template(stack), values, {POOL_TAG: stack.pool})
        outputs = made.outputs()
        # A bake sets the parameter behind CloudFormation's back, which then sees no change where there is one.
        if read_parameter(aws, outputs["AmiParameter"]) != ami:
            aws.ssm.put_parameter(Name=outputs["AmiParameter"], Value=ami, Type="String", Overwrite=True)
        return Up(change, outputs)


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


def _image(aws: Aws, stack: Ec2Stack, listener: Listener) -> str:
    """The image to launch from: the baked one as long as it fits, or else today's base."""
    current = read_parameter(aws, f"/hearth/{stack.pool}/ami")
    for image in images(aws, stack.pool):
        if image["ImageId"] == current:
            tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
            if tags.get(BASE_TAG) == stack.base_ami_parameter:
                if tags.get("hearth:config") != stack.config:
                    listener(
                        f"The baked image {current} is of other settings: machines boot slower until the next bake."
                    )
                return current
            listener(f"The baked image {current} is of another base and is used no more.")
    return base_image(aws, stack.base_ami_parameter)


def down(
    aws: Aws,
    pool: str,
    listener: Listener,
    *,
    force: bool = False,
    with_images: bool = False,
    poll_seconds: float = _POLL_SECONDS,
) -> Down:
    """End a pool's machines, stopped ones too, and delete its parameters and stack; then look what is left.

    Raises:
        InUseError: machines run, and `force` was not given.
        AccessError: AWS refuses.
        LeftoverError: something is left; it is named.
    """
    with told():
        found = machines(aws, pool)
        running = [machine for machine in found if machine.in_use]
        if running and not force:
            raise InUseError(
                f"Machines of the pool {pool} run: {', '.join(map(str, running))}. "
                "Wait until they are idle and stop, or use --force to end them and what they do."
            )
        for machine in found:
            listener(f"Terminating {machine}.")
        terminate(aws, [machine.id for machine in found], listener, poll_seconds=poll_seconds)
        for volume in volumes(aws, pool, "available"):
            delete_volume(aws, volume)
            listener(f"Deleted: disk {volume}")
        failed = None
        try:
            Stack(aws, f"hearth-{pool}", listener, poll_seconds=poll_seconds).delete()
        except StackError as error:
            failed = str(error)
        for name in delete_parameters(aws, (*parameter_names(pool), f"/hearth/{pool}/ami")):
            listener(f"Deleted: parameter {name}")
        if with_images:
            _delete_images(aws, pool, listener)
        for _ in range(_LOOKS):
            left, kept = _left(aws, pool, with_images=with_images)
            if failed or not left:
                break
            # A terminated machine's disk takes a moment longer.
            time.sleep(poll_seconds)
        if failed or left:
            raise LeftoverError(f"The pool {pool}", left, failed)
        return Down(tuple(machine.id for machine in found), kept)


def _delete_images(aws: Aws, pool: str, listener: Listener) -> None:
    for image in images(aws, pool):
        delete_image(aws, image, listener)
    for snapshot in snapshots(aws, pool):
        delete_snapshot(aws, snapshot)


def _left(aws: Aws, pool: str, *, with_images: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is left of a pool: what should be gone, and what was to be kept."""
    kept = [f"image {image['ImageId']}" for image in images(aws, pool)]
    kept += [f"snapshot {snapshot}" for snapshot in snapshots(aws, pool)]
    left = [f"machine {machine}" for machine in machines(aws, pool)]
    left += [f"disk {volume}" for volume in volumes(aws, pool, "creating", "available", "in-use", "error")]
    names = (*parameter_names(pool), f"/hearth/{pool}/ami")
    left += [f"parameter {name}" for name in existing_parameters(aws, names)]
    stack = Stack(aws, f"hearth-{pool}", lambda _: None).describe()
    if stack is not None:
        left.append(f"stack hearth-{pool} ({stack['StackStatus']})")
    if with_images:
        left, kept = [*left, *kept], []
    return tuple(left), tuple(kept)
