"""Bring a pool's stack up, and take all of a pool down."""

from __future__ import annotations

import time
from dataclasses import dataclass

from infra_scripts.common.clients import Aws, Listener, explain_errors
from infra_scripts.common.cloudformation import Stack, StackResult
from infra_scripts.common.deployment import StackRequest
from infra_scripts.common.errors import InUseError, LeftoverError, StackError
from infra_scripts.common.instances import (
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
from infra_scripts.common.linked_roles import ensure_linked_roles
from infra_scripts.common.network import base_image, check_disk_size, network
from infra_scripts.common.parameters import delete_parameters, existing_parameters, read_parameter
from infra_scripts.common.teardown import delete_freed
from infra_scripts.ec2.access import ensure_secrets, parameter_names
from infra_scripts.ec2.pool import BASE_IMAGE, Ec2Stack
from infra_scripts.ec2.template import parameters, template
from infra_scripts.ec2.user_data import config_digest

BASE_TAG = "hearth:base"
"""On a baked image: the parameter of the image that it was baked from."""
LINKED_SERVICES = ("ec2fleet.amazonaws.com", "spot.amazonaws.com")
"""Services that launch machines, with roles that no request of a run makes."""
_POLL_SECONDS = 3.0
_LOOKS = 5


@dataclass(frozen=True)
class Down:
    """What `down` did."""

    terminated: tuple[str, ...]
    kept: tuple[str, ...]
    """Baked images, as nobody asked to delete them: their snapshots cost about USD 0.05 per GB and month."""


def up(aws: Aws, stack: Ec2Stack, listener: Listener, *, poll_seconds: float = _POLL_SECONDS) -> StackResult:
    """Create or update a pool's stack; all of it can be run again at any time.

    Raises:
        RequestError: there is no network or no image to use.
        AccessError: AWS refuses.
        StackError: the stack could not be brought there.
    """
    with explain_errors():
        asked = request(aws, stack, listener)
        check_disk_size(aws, asked.parameters["AmiId"], stack.disk_gb, "HEARTH_EC2_STACK__DISK_GB")
        ensure_linked_roles(aws, asked.linked_services, listener)
        if stack.access == "token":
            ensure_secrets(aws, stack.pool, listener)
        made = Stack(aws, stack.name, listener, poll_seconds=poll_seconds)
        change = made.deploy(asked)
        outputs, ami = made.outputs(), asked.parameters["AmiId"]
        # A bake sets the parameter behind CloudFormation's back, which then sees no change where there is one.
        if read_parameter(aws, outputs["AmiParameter"]) != ami:
            aws.ssm.put_parameter(Name=outputs["AmiParameter"], Value=ami, Type="String", Overwrite=True)
        return StackResult(change, outputs)


def request(aws: Aws, stack: Ec2Stack, listener: Listener) -> StackRequest:
    """What CloudFormation is asked for; nothing is made.

    Raises:
        RequestError: there is no network or no image to use.
        ClientError: AWS refuses.
    """
    vpc, subnets = network(aws, stack, "HEARTH_EC2_STACK__SUBNETS")
    values = parameters(stack, vpc=vpc, subnets=subnets, ami=_image(aws, stack, listener))
    return StackRequest(template(stack), values, {POOL_TAG: stack.pool}, LINKED_SERVICES)


def _image(aws: Aws, stack: Ec2Stack, listener: Listener) -> str:
    """The image to launch from: the baked one as long as it fits, or else today's base."""
    current = read_parameter(aws, f"/hearth/{stack.pool}/ami")
    for image in images(aws, stack.pool):
        if image["ImageId"] == current:
            tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
            if tags.get(BASE_TAG) == stack.base_ami_parameter:
                if tags.get("hearth:config") != config_digest(stack):
                    listener(
                        f"The baked image {current} is of other settings: machines boot slower until the next bake."
                    )
                return current
            listener(f"The baked image {current} is of another base and is used no more.")
    return base_image(aws, stack.base_ami_parameter, *BASE_IMAGE)


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
    with explain_errors():
        running = [machine for machine in machines(aws, pool) if machine.in_use]
        if running and not force:
            raise InUseError(
                f"Machines of the pool {pool} run: {', '.join(map(str, running))}. "
                "Wait until they are idle and stop, or use --force to end them and what they do."
            )
        ended: dict[str, None] = {}

        def free() -> None:
            """Machines, also those that a run has launched meanwhile, and disks without one."""
            there = machines(aws, pool)
            for machine in there:
                listener(f"Terminating {machine}.")
            terminate(aws, [machine.id for machine in there], listener, poll_seconds=poll_seconds)
            ended.update(dict.fromkeys(machine.id for machine in there))
            for volume in volumes(aws, pool, "available"):
                delete_volume(aws, volume)
                listener(f"Deleted: disk {volume}")

        failed = None
        try:
            stack = Stack(aws, f"hearth-{pool}", listener, poll_seconds=poll_seconds)
            delete_freed(aws, stack, free, listener, poll_seconds=poll_seconds)
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
        return Down(tuple(ended), kept)


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
