"""The ECS service: its tasks, its image, its demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.aws.client import Aws, ask
from tasks.aws.errors import DENIED
from tasks.backends.ecs.outputs import EcsStack
from tasks.core.errors import CloudError
from tasks.core.events import RunWarning, emit
from tasks.leasing.lease import Lease
from tasks.leasing.leases import Records
from tasks.leasing.table import Table

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

SERVICE = "service"
"""The id of the service's record in its table."""
NAMESPACE = "Hearth/ECS"
"""The namespace of the metrics that scale the service."""


@dataclass(frozen=True)
class Look:
    """The tasks of the service.

    Attributes:
        desired: tasks that ECS tries to have.
        running, pending: tasks that run, and that are about to.
        healthy: tasks that get requests from the load balancer: their model is warm.
        draining: tasks that finish their pages and get no more.
        paid: machines of the cluster; tasks on Fargate.
        event: the service's newest, which says so if there is no machine.
    """

    desired: int
    running: int
    pending: int
    healthy: int
    draining: int
    paid: int
    event: str

    def __str__(self) -> str:
        return f"{self.healthy} of {self.desired} tasks warm, {self.running} running, {self.pending} starting"


class Service:
    """The service of a stack."""

    def __init__(self, aws: Aws, stack: EcsStack) -> None:
        self._aws = aws
        self.stack = stack
        self.table = Table(aws, stack.table)
        self.records = Records(self.table)

    async def leases(self) -> tuple[Lease, ...]:
        """Return the leases that have not ended.

        Raises:
            CloudError: AWS refuses or cannot be reached.
        """
        return (await self.records.get(SERVICE)).live(self.records.now())

    async def look(self) -> Look | None:
        """Return its tasks now; None if the service has been deleted.

        Raises:
            CloudError: AWS refuses or cannot be reached.
        """
        stack = self.stack
        try:
            response = await ask(self._aws.ecs.describe_services, cluster=stack.cluster, services=[stack.service])
        except CloudError as error:
            if error.code == "ClusterNotFoundException":
                return None
            raise
        service = next((service for service in response["services"] if service["status"] == "ACTIVE"), None)
        if service is None:
            return None
        health = await ask(self._aws.elbv2.describe_target_health, TargetGroupArn=stack.target_group)
        states = [target["TargetHealth"]["State"] for target in health["TargetHealthDescriptions"]]
        paid = service["runningCount"]
        if not stack.on_fargate:
            clusters = await ask(self._aws.ecs.describe_clusters, clusters=[stack.cluster])
            paid = clusters["clusters"][0]["registeredContainerInstancesCount"]
        return Look(
            desired=service["desiredCount"],
            running=service["runningCount"],
            pending=service["pendingCount"],
            healthy=states.count("healthy"),
            draining=states.count("draining"),
            paid=paid,
            event=next((event["message"] for event in service.get("events", ())), ""),
        )

    async def check_image(self) -> None:
        """Check that tasks have an image, before machines are paid for that would wait for it in vain.

        Warn if that may not be seen.

        Raises:
            CloudError: ECR has none, or AWS cannot be reached.
        """
        stack = self.stack
        if not stack.image_tag:
            return
        name, tag = stack.repository.partition("/")[2], {"imageTag": stack.image_tag}
        try:
            await ask(self._aws.ecr.describe_images, repositoryName=name, imageIds=[tag])
        except CloudError as error:
            if error.code in DENIED:
                emit(RunWarning(f"The check whether tasks have an image failed: {error}"))
                return
            if error.code not in {"ImageNotFoundException", "RepositoryNotFoundException"}:
                raise
            raise CloudError(
                f"Tasks of {stack.service} have no image: {stack.repository}:{stack.image_tag} was not pushed. "
                "`hearth infra up ecs` prints the command that builds and pushes it.",
                error.code,
            ) from None

    async def request_tasks(self, tasks: int) -> None:
        """Set the number of tasks that ECS tries to have. AWS scales in by itself when they are idle.

        Raises:
            CloudError: AWS refuses or cannot be reached.
        """
        stack = self.stack
        await ask(self._aws.ecs.update_service, cluster=stack.cluster, service=stack.service, desiredCount=tasks)

    async def publish(self, waiting_per_slot: float) -> None:
        """Publish to CloudWatch that a run uses the service, and how many of its pages wait for each slot.

        These two scale the service: out by the second, in to none after long without the first.

        Raises:
            CloudError: AWS refuses or cannot be reached.
        """
        values = {"InUse": 1.0, "PagesWaitingPerSlot": waiting_per_slot}
        data: list[MetricDatumTypeDef] = [
            {"MetricName": name, "Dimensions": [{"Name": "Pool", "Value": self.stack.pool}], "Value": value}
            for name, value in values.items()
        ]
        await ask(self._aws.cloudwatch.put_metric_data, Namespace=NAMESPACE, MetricData=data)
