"""Deploy a pool's stack, and delete everything of a pool."""

from dataclasses import dataclass

from infra_scripts.common.clients import Aws, Listener, explain_errors
from infra_scripts.common.cloudformation import Stack, StackResult
from infra_scripts.common.deployment import StackRequest
from infra_scripts.common.errors import InUseError, StackError
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
from infra_scripts.common.teardown import delete_freed, verify_deletion
from infra_scripts.ec2.access import ensure_secrets, parameter_names
from infra_scripts.ec2.pool import BASE_IMAGE, Ec2Stack
from infra_scripts.ec2.template import parameters, template
from infra_scripts.ec2.user_data import config_digest

BASE_TAG = "hearth:base"
"""Tag of a baked image: the parameter of the image from which it was baked."""
LINKED_SERVICES = ("ec2fleet.amazonaws.com", "spot.amazonaws.com")
"""Services that launch machines, whose roles no request of a run creates."""
_POLL_SECONDS = 3.0
_LOOKS = 5


@dataclass(frozen=True)
class Down:
    """The result of `down`."""

    terminated: tuple[str, ...]
    kept: tuple[str, ...]
    """Baked images that are kept: their snapshots cost about USD 0.05 per GB and month."""


def up(aws: Aws, stack: Ec2Stack, listener: Listener, *, poll_seconds: float = _POLL_SECONDS) -> StackResult:
    """Create or update a pool's stack. It can be run again at any time.

    Raises:
        RequestError: there is no network or no image to use.
        AccessError: AWS refused a request.
        StackError: the stack was not created or updated.
    """
    with explain_errors():
        asked = request(aws, stack, listener)
        ami = asked.parameters["AmiId"]
        check_disk_size(aws, ami, stack.disk_gb, "HEARTH_EC2_STACK__DISK_GB")
        ensure_linked_roles(aws, asked.linked_services, listener)
        if stack.access == "token":
            ensure_secrets(aws, stack.pool, listener)
        deployed = Stack(aws, stack.name, listener, poll_seconds=poll_seconds)
        change, outputs = deployed.deploy(asked), deployed.outputs()
        # A bake changes the parameter outside CloudFormation, which then sees no difference.
        if read_parameter(aws, outputs["AmiParameter"]) != ami:
            aws.ssm.put_parameter(Name=outputs["AmiParameter"], Value=ami, Type="String", Overwrite=True)
        return StackResult(change, outputs)


def request(aws: Aws | None, stack: Ec2Stack, listener: Listener) -> StackRequest:
    """Return the request to CloudFormation; nothing is created. Without clients, it has stand-ins of AWS's values.

    Raises:
        RequestError: there is no network or no image to use.
        AccessError: AWS refused a request.
    """
    with explain_errors():
        vpc, subnets = network(aws, stack.subnets, "HEARTH_EC2_STACK__SUBNETS")
        ami = _image(aws, stack, listener) if aws else base_image(None, stack.base_ami_parameter, *BASE_IMAGE)
    values = parameters(stack, vpc=vpc, subnets=subnets, ami=ami)
    return StackRequest(template(stack), values, {POOL_TAG: stack.pool}, LINKED_SERVICES)


def _image(aws: Aws, stack: Ec2Stack, listener: Listener) -> str:
    """Return the image for new machines: the baked one if it has the right base, otherwise the base image."""
    current = read_parameter(aws, f"/hearth/{stack.pool}/ami")
    for image in images(aws, stack.pool):
        if image["ImageId"] != current:
            continue
        tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", [])}
        if tags.get(BASE_TAG) == stack.base_ami_parameter:
            if tags.get("hearth:config") != config_digest(stack):
                listener(f"The baked image {current} has other settings: machines boot slower until the next bake.")
            return current
        listener(f"The baked image {current} has another base and is no longer used.")
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
    """Terminate a pool's machines, stopped ones included, delete its stack and parameters, and check what is left.

    Raises:
        InUseError: machines run, and `force` is False.
        AccessError: AWS refused a request.
        LeftoverError: something is left; it is named.
    """
    with explain_errors():
        running = [machine for machine in machines(aws, pool) if machine.in_use]
        if running and not force:
            raise InUseError(
                f"Machines of the pool {pool} run: {', '.join(map(str, running))}. "
                "Wait until they are idle and stop, or use --force to terminate them and what they do."
            )
        terminated: dict[str, None] = {}
        names = (*parameter_names(pool), f"/hearth/{pool}/ami")
        stack = Stack(aws, f"hearth-{pool}", listener, poll_seconds=poll_seconds)

        def free() -> None:
            """End all machines, also those that a run has launched meanwhile, and delete detached disks."""
            found = machines(aws, pool)
            for machine in found:
                listener(f"Terminating {machine}.")
            terminate(aws, [machine.id for machine in found], listener, poll_seconds=poll_seconds)
            terminated.update(dict.fromkeys(machine.id for machine in found))
            for volume in volumes(aws, pool, "available"):
                delete_volume(aws, volume)
                listener(f"Deleted: disk {volume}")

        def delete() -> None:
            failed = None
            try:
                delete_freed(aws, stack, free, listener, poll_seconds=poll_seconds)
            except StackError as error:
                failed = error
            for name in delete_parameters(aws, names):
                listener(f"Deleted: parameter {name}")
            if with_images:
                for image in images(aws, pool):
                    delete_image(aws, image, listener)
                for snapshot in snapshots(aws, pool):
                    delete_snapshot(aws, snapshot)
            if failed is not None:
                raise failed

        def left() -> list[str]:
            left = [f"machine {machine}" for machine in machines(aws, pool)]
            left += [f"disk {volume}" for volume in volumes(aws, pool, "creating", "available", "in-use", "error")]
            left += [f"parameter {name}" for name in existing_parameters(aws, names)]
            if (status := stack.status()) is not None:
                left.append(f"stack {stack.name} ({status})")
            return [*left, *_baked(aws, pool)] if with_images else left

        verify_deletion(f"The pool {pool}", delete, left, looks=_LOOKS, poll_seconds=poll_seconds)
        return Down(tuple(terminated), () if with_images else tuple(_baked(aws, pool)))


def _baked(aws: Aws, pool: str) -> list[str]:
    found = [f"image {image['ImageId']}" for image in images(aws, pool)]
    return found + [f"snapshot {snapshot}" for snapshot in snapshots(aws, pool)]
