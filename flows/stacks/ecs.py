"""Deploy an ECS service."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from flows.stacks.base import Deployment
from infra_scripts.common.container_images import ECS_MEDIA_TYPES
from infra_scripts.common.deployment import CostTable, StackPlan, StackRequest, StackStatus
from infra_scripts.common.needs import Container, Machines, Needs
from infra_scripts.ecs.deploy import down, image_trouble, request, status, up
from infra_scripts.ecs.service import BUILD_SCRIPT, EcsStack, plan_rows, stack_name
from tasks.costs.disks import disk_mb_s
from tasks.costs.rates import (
    HOURS_A_MONTH,
    balancer_usd_per_hour,
    fargate_usd_per_hour,
    gp3_usd_per_hour,
    on_demand_usd_per_hour,
    price_notes,
)
from tasks.settings.ecs import Capacity

if TYPE_CHECKING:
    from infra_scripts.common.clients import Aws, Listener

_NOTES = (
    "On-demand prices include disks, but not a public IPv4 address (USD 0.005 an hour). Spot costs less.",
    "ECS ends a machine without a task after about 15 more minutes.",
    "`hearth plan` estimates time and cost of a document or a batch.",
)
_FIRST = (
    "From zero machines ECS starts two, even for one task, and later ends the second. "
    "HEARTH_ECS_STACK__MAX_TASKS=1 limits it to one."
)


class EcsDeployment(Deployment):
    """Tasks behind a load balancer, which runs request when they need them."""

    supported_options: ClassVar[frozenset[str]] = frozenset({"allow_from"})

    @property
    def name(self) -> str:
        """The name of the CloudFormation stack."""
        return stack_name(self.pool)

    @property
    def teardown_summary(self) -> str:
        """Everything that `down` deletes, for a question to the user."""
        return f"the service {self.name} in {self.region}: its tasks, machines, image, load balancer and stack"

    def plan(self) -> StackPlan:
        """Return what `up` makes, and its cost."""
        stack, most = self._stack(), self.settings.ecs_stack.max_tasks
        region, book = self.region, self.book
        if stack.capacity == "gpu":
            disk = gp3_usd_per_hour(stack.disk_gb, stack.disk_throughput, region, book)
            prices = {name: on_demand_usd_per_hour(name, region, book) for name in stack.types}
            hourly = {name: None if usd is None else usd + disk for name, usd in prices.items()}
            items = [*stack.types, "gp3:gb", "alb:hour"]
        else:
            hourly = {stack.kind: fargate_usd_per_hour(stack.fargate_vcpu, stack.fargate_gb, region, book)}
            items = ["fargate:vcpu", "alb:hour"]
        rows = tuple(
            (name, *("unknown" if usd is None else f"USD {usd * count:.3f} an hour" for count in (1, most)))
            for name, usd in hourly.items()
        )
        costs = CostTable(("a task on", "one running, on demand", f"{most} running"), rows)
        first = (_FIRST,) if stack.capacity == "gpu" and most > 1 else ()
        notes = (*_NOTES, *first, *price_notes(items, region, book))
        return StackPlan(plan_rows(stack, balancer_usd_per_hour(region, book), HOURS_A_MONTH), costs, notes)

    def needs(self) -> Needs:
        """Return the machines or Fargate capacity that it uses, and its image."""
        settings, stack = self.settings.ecs_stack, self._stack()
        container = Container(
            name=f"{stack.name}:{stack.image_tag}",
            media_types=ECS_MEDIA_TYPES,
            build=f"`hearth infra up ecs` prints the command that builds it ({BUILD_SCRIPT.name})",
        )
        on_demand = bool(settings.on_demand_base or settings.on_demand_percent)
        if settings.capacity is Capacity.FARGATE:
            vcpu = float(settings.fargate_vcpu)
            return Needs(
                balancer_subnets_setting="HEARTH_ECS_STACK__SUBNETS",
                fargate_vcpu=vcpu,
                fargate_spot=not on_demand,
                container=container,
            )
        machines = Machines(
            types=settings.types,
            markets=("on-demand",) if on_demand else ("spot",),
            ami_parameter=settings.ami_parameter,
            ami_setting="HEARTH_ECS_STACK__AMI_PARAMETER",
            disk_gb=settings.disk_gb,
            disk_setting="HEARTH_ECS_STACK__DISK_GB",
        )
        return Needs(machines=machines, balancer_subnets_setting="HEARTH_ECS_STACK__SUBNETS", container=container)

    def request(self, aws: Aws | None = None) -> StackRequest:
        """Return the request of `up`."""
        return request(aws, self._stack())

    def up(self, aws: Aws, listener: Listener) -> tuple[str, ...]:
        """Create or update the service's stack."""
        stack = self._stack()
        done = up(aws, stack, listener)
        image = f"{done.outputs['Repository']}:{stack.image_tag}"
        trouble = image_trouble(aws, image)
        build = (f"{trouble} Here:  sh {BUILD_SCRIPT} {image} {stack.model} {stack.ollama_version}",) if trouble else ()
        return (
            f"The stack {self.name} in {self.region} is {done.change}.",
            *build,
            f"Read with it:  HEARTH_EC2__POOL={self.pool} hearth read paper.pdf --backend ecs",
        )

    def down(self, aws: Aws, listener: Listener, *, force: bool) -> tuple[str, ...]:
        """Stop the tasks and machines, and delete the stack and its image."""
        down(aws, self.pool, listener, force=force)
        return (f"{self.name} in {self.region} is gone.",)

    def status(self, aws: Aws) -> StackStatus:
        """Return the status of the stack, its tasks and its machines."""
        return status(aws, self.pool)

    def _stack(self) -> EcsStack:
        values = self.settings.ecs_stack.model_dump()
        values["disk_throughput"] = disk_mb_s(values["disk_throughput"], values["types"])
        return EcsStack(**values, pool=self.pool, region=self.region, allow_from=self.options.allow_from)


deployment = EcsDeployment
