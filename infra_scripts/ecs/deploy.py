"""Bring the ECS service's stack up, take it down, and see what there is of it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from infra_scripts.common.clients import Aws, Listener, error_code, explain_errors
from infra_scripts.common.cloudformation import Stack, StackResult
from infra_scripts.common.container_images import ECS_MEDIA_TYPES, check_image
from infra_scripts.common.deployment import StackRequest, StackStatus
from infra_scripts.common.errors import InUseError, LeftoverError, RequestError, StackError
from infra_scripts.common.instances import ALIVE, tag_filter
from infra_scripts.common.linked_roles import ensure_linked_roles
from infra_scripts.common.network import base_image, check_balancer_subnets, check_disk_size, network
from infra_scripts.common.teardown import delete_freed
from infra_scripts.ecs.service import EcsStack, parameters, stack_name, template

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_ecs.type_defs import ServiceTypeDef

ECS_TAG = "hearth:ecs"
"""On all that belongs to a service. Not `hearth:pool`: what carries that, the stoppers of EC2's machines look after."""
_SUBNETS = "HEARTH_ECS_STACK__SUBNETS"
_IMAGE = ("HEARTH_ECS_STACK__AMI_PARAMETER", "an image made for ECS, with NVIDIA's driver")
_NO_SERVICE = {"ClusterNotFoundException", "ServiceNotFoundException", "ServiceNotActiveException"}
_POLL_SECONDS = 3.0
_LOOKS = 200
"""A task ends its pages first, which takes five and a half minutes at the most."""


def up(aws: Aws, stack: EcsStack, listener: Listener, *, poll_seconds: float = _POLL_SECONDS) -> StackResult:
    """Create or update the service's stack; all of it can be run again at any time.

    Raises:
        RequestError: there is no network or no machine image to use; or tasks run, and the new ones have no image.
        AccessError: AWS refuses.
        StackError: the stack could not be brought there.
    """
    with explain_errors():
        asked = request(aws, stack)
        check_balancer_subnets(aws, tuple(asked.parameters["Subnets"].split(",")), _SUBNETS)
        if stack.capacity == "gpu":
            check_disk_size(aws, asked.parameters["AmiId"], stack.disk_gb, "HEARTH_ECS_STACK__DISK_GB")
        ensure_linked_roles(aws, asked.linked_services, listener)
        made = Stack(aws, stack.name, listener, poll_seconds=poll_seconds)
        _check_update(aws, stack, made.outputs())
        change = made.deploy(asked)
        return StackResult(change, made.outputs())


def request(aws: Aws, stack: EcsStack) -> StackRequest:
    """What CloudFormation is asked for; nothing is made.

    Raises:
        RequestError: there is no network or no image to use.
        ClientError: AWS refuses.
    """
    vpc, subnets = network(aws, stack, _SUBNETS)
    ami = base_image(aws, stack.ami_parameter, *_IMAGE)
    values = parameters(stack, vpc=vpc, subnets=subnets, ami=ami)
    return StackRequest(template(stack), values, {ECS_TAG: stack.pool}, stack.linked_services)


def image_trouble(aws: Aws, image: str) -> str:
    """Return why tasks cannot run an image of the stack's repository; empty if they can.

    Raises:
        AccessError: AWS refuses.
    """
    with explain_errors():
        try:
            check_image(aws, image, ECS_MEDIA_TYPES)
        except RequestError as error:
            return str(error)
    return ""


def _check_update(aws: Aws, stack: EcsStack, outputs: dict[str, str]) -> None:
    """See that tasks that run now would not be replaced by ones that cannot start."""
    service = _service(_ecs(aws), stack.name) if outputs else None
    if service is not None and (service["desiredCount"] or service["runningCount"]):
        check_image(aws, f"{outputs['Repository']}:{stack.image_tag}", ECS_MEDIA_TYPES)


def down(aws: Aws, pool: str, listener: Listener, *, force: bool, poll_seconds: float = _POLL_SECONDS) -> None:
    """Send tasks and machines away and delete the stack, image included; then look what is left.

    Raises:
        InUseError: tasks run or are wanted, and `force` was not given.
        AccessError: AWS refuses.
        LeftoverError: something is left that costs money; it is named.
    """
    name = stack_name(pool)
    with explain_errors():
        service = _service(_ecs(aws), name)
        if service is not None and not force and (service["desiredCount"] or service["runningCount"]):
            raise InUseError(
                f"{service['runningCount']} tasks of {name} run, and {service['desiredCount']} are wanted. "
                "Wait until they are idle and gone, or use --force to end them and what they do."
            )
        failed = None
        try:
            stack = Stack(aws, name, listener, poll_seconds=poll_seconds)
            free = partial(_empty, aws, pool, listener, poll_seconds)
            delete_freed(aws, stack, free, listener, poll_seconds=poll_seconds)
        except StackError as error:
            failed = str(error)
        for _ in range(_LOOKS):
            left = tuple(f"machine {machine}" for machine in _machines(aws, pool))
            if failed or not left:
                break
            # A machine takes a moment longer than its group.
            time.sleep(poll_seconds)
        if Stack(aws, name, listener).describe() is not None:
            left = (*left, f"stack {name}")
        if failed or left:
            raise LeftoverError(name, left, failed)


def status(aws: Aws, pool: str) -> StackStatus:
    """What there is of the service, and what of it is paid for.

    Raises:
        AccessError: AWS refuses.
    """
    name = stack_name(pool)
    with explain_errors():
        stack = Stack(aws, name, lambda _: None)
        found, outputs = stack.describe(), stack.outputs()
        service = _service(_ecs(aws), name)
        machines = ", ".join(_machines(aws, pool)) or "none"
    if service is None:
        return StackStatus(found["StackStatus"] if found else None, (("machines", machines),))
    tasks = f"{service['runningCount']} running, {service['desiredCount']} wanted"
    image = f"{outputs.get('Repository', '?')}:{outputs.get('ImageTag', '?')}"
    return StackStatus(
        found["StackStatus"] if found else None,
        (("address", outputs.get("Url", "?")), ("tasks", tasks), ("machines", machines), ("image", image)),
    )


def _empty(aws: Aws, pool: str, listener: Listener, poll_seconds: float) -> None:
    """Have no task and no machine, and wait until they are gone: what they use cannot be deleted before."""
    ecs, group, name = _ecs(aws), _groups(aws), stack_name(pool)
    try:
        ecs.update_service(cluster=name, service=name, desiredCount=0)
        listener(f"No task of {name} is wanted any more.")
    except ClientError as error:
        if error_code(error) not in {
            "ClusterNotFoundException",
            "ServiceNotFoundException",
            "ServiceNotActiveException",
        }:
            raise
    if group.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]:
        group.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, MaxSize=0, DesiredCapacity=0)
        listener(f"The machines of {name} are ended.")
    for _ in range(_LOOKS):
        service = _service(ecs, name)
        if not (service and service["runningCount"]) and not _machines(aws, pool):
            break
        time.sleep(poll_seconds)


def _machines(aws: Aws, pool: str) -> list[str]:
    filters = [tag_filter(ECS_TAG, pool), {"Name": "instance-state-name", "Values": list(ALIVE)}]
    pages = aws.ec2.get_paginator("describe_instances").paginate(Filters=filters)  # type: ignore[arg-type]
    return [one["InstanceId"] for page in pages for each in page["Reservations"] for one in each["Instances"]]


def _service(ecs: ECSClient, name: str) -> ServiceTypeDef | None:
    """The service as ECS has it; None if it is not there, or is being deleted."""
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
