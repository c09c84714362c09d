"""The outputs of the CloudFormation stack that `hearth infra up ecs` deploys."""

from pydantic import Field

from tasks.aws.client import Aws
from tasks.aws.stacks import StackOutputs, read_stack
from tasks.costs.price_book import Book
from tasks.costs.rates import fargate_usd_per_hour, on_demand_usd_per_hour


class EcsStack(StackOutputs):
    """A service's stack.

    Attributes:
        target_group: the load balancer's, by its ARN.
        model, num_ctx: that tasks keep warm; tokens.
        slots: OLLAMA_NUM_PARALLEL of each task.
        max_tasks: how far AWS scales out.
        kind: what a task runs on: an instance type, or such as `fargate 4 vCPU 16 GB`.
        repository, image_tag: of the tasks' image; empty where the stack does not name it.
    """

    pool: str
    cluster: str = Field(alias="Cluster")
    service: str = Field(alias="Service")
    target_group: str = Field(alias="TargetGroup")
    url: str = Field(alias="Url")
    table: str = Field(alias="TableName")
    model: str = Field(alias="Model")
    num_ctx: int = Field(alias="NumCtx")
    slots: int = Field(alias="Slots")
    max_tasks: int = Field(alias="MaxTasks")
    kind: str = Field(alias="Kind")
    repository: str = Field("", alias="Repository")
    image_tag: str = Field("", alias="ImageTag")

    @property
    def on_fargate(self) -> bool:
        """Whether tasks run on Fargate, without machines of the pool."""
        return self.kind.startswith("fargate ")

    def usd_per_hour(self, region: str, book: Book) -> float | None:
        """Return the price of one task on demand, without its disk and the load balancer; spot costs less.

        It is that of us-east-1 if the price book lacks the region, and None if it lacks both.
        """
        if self.on_fargate:
            _, vcpu, _, gigabytes, _ = self.kind.split()
            return fargate_usd_per_hour(int(vcpu), int(gigabytes), region, book)
        return on_demand_usd_per_hour(self.kind, region, book)


async def find_stack(aws: Aws, pool: str) -> EcsStack:
    """Read the stack of a pool's service.

    Raises:
        CloudError: the service is not deployed, or not by this version; or AWS refuses.
    """
    remedy = "Deploy it: hearth infra up ecs --allow-from <your network, such as 10.0.0.0/16>."
    what = f"The ECS service of the pool {pool!r}"
    return await read_stack(aws, f"hearth-ecs-{pool}", EcsStack, what, remedy, pool=pool)
