"""What `hearth infra up ecs` deployed, as a run finds it: the outputs of its CloudFormation stack."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.aws.client import Aws
from tasks.aws.stacks import read_stack
from tasks.costs.price_book import Book
from tasks.costs.rates import fargate_usd_per_hour, on_demand_usd_per_hour


@dataclass(frozen=True)
class EcsStack:
    """A service's means.

    Attributes:
        pool: its name.
        cluster, service: names of both.
        target_group: the load balancer's, by its ARN.
        url: of the load balancer.
        table: of leases and slots.
        model, num_ctx: what tasks are kept warm with; tokens.
        slots: OLLAMA_NUM_PARALLEL of each task.
        max_tasks: how far AWS scales out.
        kind: what a task runs on: an instance type, or such as `fargate 4 vCPU 16 GB`.
        repository, image_tag: of the tasks' image; empty where the stack does not name it.
    """

    pool: str
    cluster: str
    service: str
    target_group: str
    url: str
    table: str
    model: str
    num_ctx: int
    slots: int
    max_tasks: int
    kind: str
    repository: str = ""
    image_tag: str = ""

    @property
    def on_fargate(self) -> bool:
        """Whether tasks run without machines of the pool's own."""
        return self.kind.startswith("fargate ")

    def usd_per_hour(self, region: str, book: Book) -> float | None:
        """Of one task on demand, its disk and the load balancer not counted; spot costs less.

        Of us-east-1 if the price book lacks the region; None if it lacks that, too.
        """
        if self.on_fargate:
            _, vcpu, _, gigabytes, _ = self.kind.split()
            return fargate_usd_per_hour(int(vcpu), int(gigabytes), region, book)
        return on_demand_usd_per_hour(self.kind, region, book)


async def find_stack(aws: Aws, pool: str) -> EcsStack:
    """Ask CloudFormation.

    Raises:
        CloudError: the service is not deployed, or not by this version.
    """
    name = f"hearth-ecs-{pool}"
    remedy = "Deploy it: hearth infra up ecs --allow-from <your network, such as 10.0.0.0/16>."

    def read(outputs: dict[str, str]) -> EcsStack:
        return EcsStack(
            pool=pool,
            cluster=outputs["Cluster"],
            service=outputs["Service"],
            target_group=outputs["TargetGroup"],
            url=outputs["Url"],
            table=outputs["TableName"],
            model=outputs["Model"],
            num_ctx=int(outputs["NumCtx"]),
            slots=int(outputs["Slots"]),
            max_tasks=int(outputs["MaxTasks"]),
            kind=outputs["Kind"],
            repository=outputs.get("Repository", ""),
            image_tag=outputs.get("ImageTag", ""),
        )

    return await read_stack(aws, name, f"The ECS service of the pool {pool!r}", remedy, read)
