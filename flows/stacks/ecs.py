"""The ECS service, as `hearth infra` deploys it: the settings, handed to infra_scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from infra_scripts.common.clients import explain_errors
from infra_scripts.common.container_images import ECS_MEDIA_TYPES
from infra_scripts.common.deployment import CostTable, Options, StackPlan, StackRequest, StackStatus
from infra_scripts.common.needs import Container, Machines, Needs
from infra_scripts.common.network import AMI_STAND_IN, STAND_INS
from infra_scripts.ecs.deploy import ECS_TAG, down, image_trouble, request, status, up
from infra_scripts.ecs.service import BUILD_SCRIPT, EcsStack, parameters, plan_rows, stack_name, template
from tasks.costs.disks import disk_mb_s
from tasks.costs.price_book import current_book
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
    from tasks.settings.settings import Settings

_NOTES = (
    "On-demand prices; disks included, a public IPv4 address (USD 0.005 an hour) not. Spot costs less.",
    "A machine without a task goes after about 15 minutes more, as ECS takes its time.",
    "`hearth plan` reckons time and dollars of a document or a batch on it.",
)
_FIRST = (
    "Where there is no machine ECS starts two, also for one task; the second then goes as one without a task. "
    "HEARTH_ECS_STACK__MAX_TASKS=1 allows one alone."
)


@dataclass(frozen=True)
class EcsDeployment:
    """Tasks behind a load balancer that runs ask for when they need them."""

    settings: Settings
    options: Options
    region: str
    supported_options: ClassVar[frozenset[str]] = frozenset({"allow_from"})

    @property
    def pool(self) -> str:
        """Its name."""
        return self.settings.ec2.pool

    @property
    def name(self) -> str:
        """Of the stack."""
        return stack_name(self.pool)

    @property
    def teardown_summary(self) -> str:
        """All that `down` deletes."""
        return f"the service {self.name} in {self.region}: its tasks, machines, image, load balancer and stack"

    def plan(self) -> StackPlan:
        """What `up` makes and what it costs."""
        stack, most = self._stack(), self.settings.ecs_stack.max_tasks
        region, book = self.region, current_book(self.settings.home)
        if stack.capacity == "gpu":
            disk = gp3_usd_per_hour(stack.disk_gb, stack.disk_throughput, region, book)
            prices = {name: on_demand_usd_per_hour(name, region, book) for name in stack.types}
            hourly = {name: None if usd is None else usd + disk for name, usd in prices.items()}
            items = [*stack.types, "gp3:gb", "alb:hour"]
        else:
            hourly = {stack.kind: fargate_usd_per_hour(stack.fargate_vcpu, stack.fargate_gb, region, book)}
            items = ["fargate:vcpu", "alb:hour"]
        rows = tuple(
            (name, *("not known" if usd is None else f"USD {usd * count:.3f} an hour" for count in (1, most)))
            for name, usd in hourly.items()
        )
        costs = CostTable(("a task on", "one running, on demand", f"{most} running"), rows)
        first = (_FIRST,) if stack.capacity == "gpu" and most > 1 else ()
        notes = (*_NOTES, *first, *price_notes(items, region, book))
        return StackPlan(plan_rows(stack, balancer_usd_per_hour(region, book), HOURS_A_MONTH), costs, notes)

    def template(self) -> str:
        """The CloudFormation template."""
        return template(self._stack())

    def needs(self) -> Needs:
        """Machines or Fargate, and an image."""
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

    def request_for(self, aws: Aws) -> StackRequest:
        """What `up` asks CloudFormation for."""
        with explain_errors():
            return request(aws, self._stack())

    def request(self) -> StackRequest:
        """What CloudFormation is asked for."""
        stack = self._stack()
        values = parameters(stack, **STAND_INS, ami=AMI_STAND_IN)
        return StackRequest(template(stack), values, {ECS_TAG: self.pool}, stack.linked_services)

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
        """Send tasks and machines away and delete the stack, image included."""
        down(aws, self.pool, listener, force=force)
        return (f"{self.name} in {self.region} is gone.",)

    def status(self, aws: Aws) -> StackStatus:
        """The stack, its tasks and its machines."""
        return status(aws, self.pool)

    def _stack(self) -> EcsStack:
        values = self.settings.ecs_stack.model_dump()
        values["disk_throughput"] = disk_mb_s(values["disk_throughput"], values["types"])
        return EcsStack(
            **values,
            pool=self.pool,
            region=self.region,
            allow_from=self.options.allow_from,
        )


def deployment(settings: Settings, options: Options, region: str) -> EcsDeployment:
    """The service of the pool that the settings name."""
    return EcsDeployment(settings, options, region)
