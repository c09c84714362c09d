"""Deploy the ECS service's stack, delete it, and report its state."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from infra_scripts.common.clients import Aws, Listener, error_code, explain_errors
from infra_scripts.common.cloudformation import Stack, StackResult
from infra_scripts.common.container_images import ECS_MEDIA_TYPES, check_image
from infra_scripts.common.deployment import StackRequest, StackStatus
from infra_scripts.common.errors import InUseError, RequestError
from infra_scripts.common.instances import machines
from infra_scripts.common.linked_roles import ensure_linked_roles
from infra_scripts.common.network import base_image, check_balancer_subnets, check_disk_size, network
from infra_scripts.common.teardown import delete_freed, verify_deletion
from infra_scripts.ecs.service import EcsStack, parameters, stack_name, template

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_ecs.type_defs import ServiceTypeDef

ECS_TAG = "hearth:ecs"
"""Tag of everything that belongs to a service. Not `hearth:pool`, which the reapers of EC2 machines look for."""
_SUBNETS = "HEARTH_ECS_STACK__SUBNETS"
_IMAGE = ("HEARTH_ECS_STACK__AMI_PARAMETER", "an image made for ECS, with NVIDIA's driver")
_NO_SERVICE = {"ClusterNotFoundException", "ServiceNotFoundException", "ServiceNotActiveException"}
_POLL_SECONDS = 3.0
LOOKS = 200
"""A task finishes its pages first, which takes up to five and a half minutes."""


def up(aws: Aws, stack: EcsStack, listener: Listener, *, poll_seconds: float = _POLL_SECONDS) -> StackResult:
    """Create or update the service's stack. It can be run again at any time.

    Raises:
        RequestError: there is no network or machine image to use; or tasks run, and the new tasks have no image.
        AccessError: AWS refused a request.
        StackError: the stack was not created or updated.
    """
    with explain_errors():
        asked = request(aws, stack)
        check_balancer_subnets(aws, tuple(asked.parameters["Subnets"].split(",")), _SUBNETS)
        if stack.capacity == "gpu":
            check_disk_size(aws, asked.parameters["AmiId"], stack.disk_gb, "HEARTH_ECS_STACK__DISK_GB")
        ensure_linked_roles(aws, asked.linked_services, listener)
        deployed = Stack(aws, stack.name, listener, poll_seconds=poll_seconds)
        outputs = deployed.outputs()
        service = _service(_ecs(aws), stack.name) if outputs else None
        if service is not None and (service["desiredCount"] or service["runningCount"]):
            # Running tasks must not be replaced by tasks that cannot start.
            check_image(aws, f"{outputs['Repository']}:{stack.image_tag}", ECS_MEDIA_TYPES)
        change = deployed.deploy(asked)
        return StackResult(change, deployed.outputs())


def request(aws: Aws | None, stack: EcsStack) -> StackRequest:
    """Return the request to CloudFormation; nothing is created. Without clients, it has stand-ins of AWS's values.

    Raises:
        RequestError: there is no network or no image to use.
        AccessError: AWS refused a request.
    """
    with explain_errors():
        vpc, subnets = network(aws, stack.subnets, _SUBNETS)
        ami = base_image(aws, stack.ami_parameter, *_IMAGE)
    values = parameters(stack, vpc=vpc, subnets=subnets, ami=ami)
    return StackRequest(template(stack), values, {ECS_TAG: stack.pool}, stack.linked_services)


def image_trouble(aws: Aws, image: str) -> str:
    """Return why tasks cannot run an image of the stack's repository; empty if they can.

    Raises:
        AccessError: AWS refused a request.
    """
    with explain_errors():
        try:
            check_image(aws, image, ECS_MEDIA_TYPES)
        except RequestError as error:
            return str(error)
    return ""


def down(aws: Aws, pool: str, listener: Listener, *, force: bool, poll_seconds: float = _POLL_SECONDS) -> None:
    """End tasks and machines, delete the stack with its image, and check what is left.

    Raises:
        InUseError: tasks run or are requested, and `force` is False.
        AccessError: AWS refused a request.
        LeftoverError: something that costs money is left; it is named.
    """
    name = stack_name(pool)
    with explain_errors():
        service = _service(_ecs(aws), name)
        if service is not None and not force and (service["desiredCount"] or service["runningCount"]):
            raise InUseError(
                f"{service['runningCount']} tasks of {name} run, and {service['desiredCount']} are requested. "
                "Wait until they are idle and gone, or use --force to end them and what they do."
            )
        stack = Stack(aws, name, listener, poll_seconds=poll_seconds)
        free = partial(_end_all, aws, pool, listener, poll_seconds)
        delete = partial(delete_freed, aws, stack, free, listener, poll_seconds=poll_seconds)

        def left() -> list[str]:
            left = [f"machine {machine.id}" for machine in machines(aws, pool, ECS_TAG)]
            return left if stack.status() is None else [*left, f"stack {name}"]

        verify_deletion(name, delete, left, looks=LOOKS, poll_seconds=poll_seconds)


def status(aws: Aws, pool: str) -> StackStatus:
    """Return the state of the service and of everything that is paid for.

    Raises:
        AccessError: AWS refused a request.
    """
    name = stack_name(pool)
    with explain_errors():
        stack = Stack(aws, name)
        state, outputs = stack.status(), stack.outputs()
        service = _service(_ecs(aws), name)
        running = ", ".join(machine.id for machine in machines(aws, pool, ECS_TAG)) or "none"
    if service is None:
        return StackStatus(state, (("machines", running),))
    tasks = f"{service['runningCount']} running, {service['desiredCount']} wanted"
    image = f"{outputs.get('Repository', '?')}:{outputs.get('ImageTag', '?')}"
    facts = (("address", outputs.get("Url", "?")), ("tasks", tasks), ("machines", running), ("image", image))
    return StackStatus(state, facts)


def _end_all(aws: Aws, pool: str, listener: Listener, poll_seconds: float) -> None:
    """End all tasks and machines, and wait until they are gone: only then their resources can be deleted."""
    ecs, groups, name = _ecs(aws), _groups(aws), stack_name(pool)
    try:
        ecs.update_service(cluster=name, service=name, desiredCount=0)
        listener(f"The tasks of {name} are ended.")
    except ClientError as error:
        if error_code(error) not in _NO_SERVICE:
            raise
    if groups.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]:
        groups.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, MaxSize=0, DesiredCapacity=0)
        listener(f"The machines of {name} are ended.")
    for _ in range(LOOKS):
        service = _service(ecs, name)
        if not (service and service["runningCount"]) and not machines(aws, pool, ECS_TAG):
            break
        time.sleep(poll_seconds)


def _service(ecs: ECSClient, name: str) -> ServiceTypeDef | None:
    """Return the active service; None if it does not exist or is being deleted."""
    try:
        found = ecs.describe_services(cluster=name, services=[name])["services"]
    except ClientError as error:
        if error_code(error) == "ClusterNotFoundException":
            return None
        raise
    return next((service for service in found if service["status"] == "ACTIVE"), None)


def _ecs(aws: Aws) -> ECSClient:
    return aws.session.client("ecs", config=aws.config)


def _groups(aws: Aws) -> AutoScalingClient:
    return aws.session.client("autoscaling", config=aws.config)
