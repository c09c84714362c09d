"""The service as AWS tells of it: how many tasks are wanted, serve, and are paid for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.aws.client import Aws, ask
from tasks.backends.ecs.outputs import EcsStack
from tasks.core.errors import CloudError

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

NAMESPACE = "Hearth/ECS"
"""Of the metrics that the service is scaled by."""


@dataclass(frozen=True)
class Look:
    """What was seen.

    Attributes:
        desired: tasks that ECS tries to have.
        running, pending: tasks that run, and that are about to.
        healthy: tasks to which the load balancer sends requests: their model is warm.
        draining: tasks that end their pages and get no more.
        paid: machines of the cluster; tasks on Fargate.
        told: the service's newest event: where there is no machine, this says so.
    """

    desired: int
    running: int
    pending: int
    healthy: int
    draining: int
    paid: int
    told: str

    def __str__(self) -> str:
        """For whoever waits."""
        return f"{self.healthy} of {self.desired} tasks warm, {self.running} running, {self.pending} starting"


class Service:
    """The service of a stack."""

    def __init__(self, aws: Aws, stack: EcsStack) -> None:
        self._aws = aws
        self.stack = stack

    async def look(self) -> Look | None:
        """What there is now; None if the service has been deleted.

        Raises:
            CloudError: AWS refuses or cannot be reached.
        """
        stack = self.stack
        try:
            answer = await ask(self._aws.ecs.describe_services, cluster=stack.cluster, services=[stack.service])
        except CloudError as error:
            if error.code == "ClusterNotFoundException":
                return None
            raise
        found = [service for service in answer["services"] if service["status"] == "ACTIVE"]
        if not found:
            return None
        service = found[0]
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
            told=next((event["message"] for event in service.get("events", ())), ""),
        )

    async def check_image(self) -> None:
        """See that tasks have an image, before machines are paid for that would wait for it in vain.

        Raises:
            CloudError: ECR has none, or AWS refuses.
        """
        stack = self.stack
        if not stack.image_tag:
            return
        by = [{"imageTag": stack.image_tag}]
        name = stack.repository.partition("/")[2]
        try:
            await ask(self._aws.ecr.describe_images, repositoryName=name, imageIds=by)
        except CloudError as error:
            if error.code not in {"ImageNotFoundException", "RepositoryNotFoundException"}:
                raise
            raise CloudError(
                f"Tasks of {stack.service} have no image: {stack.repository}:{stack.image_tag} was not pushed. "
                "`hearth infra up ecs` prints the command that builds and pushes it.",
                error.code,
            ) from None

    async def want(self, tasks: int) -> None:
        """Have ECS try to have so many tasks; AWS scales in by itself when nobody uses them.

        Raises:
            CloudError: AWS refuses or cannot be reached.
        """
        stack = self.stack
        await ask(self._aws.ecs.update_service, cluster=stack.cluster, service=stack.service, desiredCount=tasks)

    async def publish(self, waiting_per_slot: float) -> None:
        """Tell CloudWatch that a run uses the service, and how many of its pages wait for each slot.

        The service is scaled by these two: out by the second, in to none where nobody has told the first for long.

        Raises:
            CloudError: AWS refuses or cannot be reached.
        """
        values = {"InUse": 1.0, "PagesWaitingPerSlot": waiting_per_slot}
        data: list[MetricDatumTypeDef] = [
            {"MetricName": name, "Dimensions": [{"Name": "Pool", "Value": self.stack.pool}], "Value": value}
            for name, value in values.items()
        ]
        await ask(self._aws.cloudwatch.put_metric_data, Namespace=NAMESPACE, MetricData=data)
