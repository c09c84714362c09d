"""The outputs of the CloudFormation stack that `hearth infra up ecs` deploys."""

from typing import ClassVar

from pydantic import Field

from tasks.aws.stacks import StackOutputs
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

    named: ClassVar = "hearth-ecs-{pool}"
    what: ClassVar = "The ECS service of the pool {pool}"
    remedy: ClassVar = "Deploy it: hearth infra up ecs --allow-from <your network, such as 10.0.0.0/16>."

    pool: str
    cluster: str
    service: str
    target_group: str
    url: str
    table: str = Field(alias="TableName")
    model: str
    num_ctx: int
    slots: int
    max_tasks: int
    kind: str
    repository: str = ""
    image_tag: str = ""

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
