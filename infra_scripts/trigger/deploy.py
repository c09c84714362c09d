"""Deploy the trigger's stack, delete it, and report its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from infra_scripts.common.clients import error_code, explain_errors
from infra_scripts.common.cloudformation import Change, Stack
from infra_scripts.common.container_images import ECS_MEDIA_TYPES, check_image
from infra_scripts.common.deployment import StackRequest, StackStatus
from infra_scripts.common.errors import InUseError
from infra_scripts.common.instances import POOL_TAG
from infra_scripts.common.linked_roles import ensure_linked_roles
from infra_scripts.common.network import network
from infra_scripts.common.teardown import delete_freed
from infra_scripts.trigger.upload_trigger import TriggerStack, template

if TYPE_CHECKING:
    from infra_scripts.common.clients import Aws, Listener

LINKED_SERVICES = ("ecs.amazonaws.com",)
"""The service of the tasks, whose role an account's first cluster needs."""
_POLL_SECONDS = 3.0
_MAX_DESCRIBED = 100  # tasks in one request to ECS


def up(aws: Aws, stack: TriggerStack, listener: Listener, *, poll_seconds: float = _POLL_SECONDS) -> Change:
    """Create or update the stack.

    Raises:
        RequestError: a value is missing, there is no network, or ECR has no such image.
        StackError: the stack was not created or updated.
    """
    stack.checked()
    with explain_errors():
        asked = request(aws, stack)
        if stack.image and not stack.prefect_url:
            check_image(aws, stack.image, ECS_MEDIA_TYPES)
        ensure_linked_roles(aws, asked.linked_services, listener)
        return Stack(aws, stack.name, listener, poll_seconds=poll_seconds).deploy(asked)


def request(aws: Aws | None, stack: TriggerStack) -> StackRequest:
    """Return the request to CloudFormation; nothing is created. Without clients, it has stand-ins of AWS's values.

    Raises:
        RequestError: a value is missing, or there is no network.
        AccessError: AWS refused a request.
    """
    with explain_errors():
        vpc, subnets = network(aws, stack.subnets, "HEARTH_TRIGGER__SUBNETS")
    return StackRequest(template(), stack.parameters(vpc=vpc, subnets=subnets), {POOL_TAG: stack.pool}, LINKED_SERVICES)


def sends_events(aws: Aws, bucket: str) -> bool | None:
    """Whether a bucket sends its events to EventBridge; None if AWS does not tell."""
    s3 = aws.session.client("s3", config=aws.config)
    with explain_errors():
        try:
            return "EventBridgeConfiguration" in s3.get_bucket_notification_configuration(Bucket=bucket)
        except ClientError:
            return None


def down(aws: Aws, stack: TriggerStack, listener: Listener, *, force: bool, poll_seconds: float = _POLL_SECONDS) -> int:
    """End the tasks and delete the stack; return the number of queued and dead messages, whose uploads are not read.

    Raises:
        InUseError: tasks run, and `force` is False.
        StackError: a resource cannot be deleted.
    """
    with explain_errors():
        deployed = Stack(aws, stack.name, listener, poll_seconds=poll_seconds)
        outputs = deployed.outputs()
        running = running_tasks(aws, outputs) if outputs else []
        if running and not force:
            raise InUseError(f"{len(running)} tasks of {stack.name} run. Wait for them, or end them with --force.")
        waiting = sum(_waiting(aws, outputs.get(name)) for name in ("Queue", "DeadLetters"))
        delete_freed(aws, deployed, lambda: _end_tasks(aws, outputs, listener), listener, poll_seconds=poll_seconds)
        return waiting


def _end_tasks(aws: Aws, outputs: dict[str, str], listener: Listener) -> None:
    """End the tasks, also those that the function has started meanwhile, and wait for their end."""
    ecs: Any = aws.session.client("ecs", config=aws.config)
    tasks = running_tasks(aws, outputs) if outputs else []
    for task in tasks:
        ecs.stop_task(cluster=outputs["Cluster"], task=task, reason="hearth infra down lambda")
        listener(f"Stopping the task {task.rpartition('/')[2]}.")
    for first in range(0, len(tasks), _MAX_DESCRIBED):
        ecs.get_waiter("tasks_stopped").wait(cluster=outputs["Cluster"], tasks=tasks[first : first + _MAX_DESCRIBED])


def status(aws: Aws, stack: TriggerStack) -> StackStatus:
    """Return the state of the stack, its queues and its tasks."""
    with explain_errors():
        deployed = Stack(aws, stack.name)
        state, outputs = deployed.status(), deployed.outputs()
        if not outputs:
            return StackStatus(state)
        facts = (
            ("bucket", outputs["Bucket"]),
            ("uploads waiting", str(_waiting(aws, outputs["Queue"]))),
            ("dead letters", str(_waiting(aws, outputs["DeadLetters"]))),
            ("tasks", str(len(running_tasks(aws, outputs)))),
        )
        return StackStatus(state, facts)


def running_tasks(aws: Aws, outputs: dict[str, str]) -> list[str]:
    """Return the ARNs of the tasks in the stack's cluster."""
    ecs: Any = aws.session.client("ecs", config=aws.config)
    try:
        pages = ecs.get_paginator("list_tasks").paginate(cluster=outputs["Cluster"])
        return [task for page in pages for task in page["taskArns"]]
    except ClientError as error:
        if error_code(error) == "ClusterNotFoundException":  # deleted by an earlier attempt
            return []
        raise


def _waiting(aws: Aws, queue: str | None) -> int:
    if queue is None:
        return 0
    sqs: Any = aws.session.client("sqs", config=aws.config)
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)
