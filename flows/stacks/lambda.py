# ruff: noqa: N999 - the registry finds a module by the name of its stack
"""The trigger for uploads, as `hearth infra` deploys it: the settings, handed to infra_scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from infra_scripts.common.clients import explain_errors
from infra_scripts.common.container_images import ECS_MEDIA_TYPES
from infra_scripts.common.deployment import CostTable, Options, StackPlan, StackRequest, StackStatus
from infra_scripts.common.instances import POOL_TAG
from infra_scripts.common.needs import Container, Needs
from infra_scripts.common.network import STAND_INS
from infra_scripts.trigger.deploy import LINKED_SERVICES, down, request, sends_events, status, up
from infra_scripts.trigger.upload_trigger import TriggerStack, plan_rows, template
from tasks.costs.price_book import current_book
from tasks.costs.rates import fargate_usd_per_hour, price_notes
from tasks.settings.trigger import Capacity

if TYPE_CHECKING:
    from infra_scripts.common.clients import Aws, Listener
    from tasks.settings.settings import Settings

_NOTES = (
    "The machines that a task reads on come beside its price.",
    "docs/how-to/lambda.md has an example of what a month costs.",
)


@dataclass(frozen=True)
class LambdaDeployment:
    """A function that has PDFs read that land in a bucket."""

    settings: Settings
    options: Options
    region: str
    supported_options: ClassVar[frozenset[str]] = frozenset()

    @property
    def name(self) -> str:
        """Of the stack."""
        return self._stack().name

    @property
    def teardown_summary(self) -> str:
        """All that `down` deletes."""
        return f"{self.name} in {self.region}: its function, queues with what waits in them, tasks and roles"

    def plan(self) -> StackPlan:
        """What `up` makes and what it costs."""
        stack, given = self._stack(), self.settings.trigger
        stack.checked()
        book = current_book(self.settings.home)
        hourly = fargate_usd_per_hour(given.cpu // 1024, given.memory_mb // 1024, self.region, book)
        longest = given.max_minutes / 60 * 1.5
        row = (f"{given.cpu / 1024:g} vCPU, {given.memory_mb / 1024:g} GB", f"USD {hourly:.3f} an hour")
        costs = CostTable(
            ("a task", "while it reads", "at the most, machines included"),
            ((*row, f"USD {hourly * longest + given.max_usd:.2f}"),),
        )
        return StackPlan(plan_rows(stack), costs, (*_NOTES, *price_notes(["fargate:vcpu"], self.region, book)))

    def template(self) -> str:
        """The CloudFormation template."""
        return template()

    def needs(self) -> Needs:
        """Concurrency of its function, and Fargate with an image where it starts tasks."""
        given = self.settings.trigger
        if given.prefect_url:  # Prefect is told of uploads, and no task is started
            return Needs(reserved_concurrency=given.reserved_concurrency)
        container = Container(
            name=given.image or "",
            media_types=ECS_MEDIA_TYPES,
            build="infra_scripts/worker/Dockerfile is its recipe, and docs/how-to/lambda.md has the commands",
        )
        return Needs(
            fargate_vcpu=given.cpu / 1024,
            fargate_spot=given.capacity is Capacity.FARGATE_SPOT,
            container=container,
            reserved_concurrency=given.reserved_concurrency,
        )

    def request_for(self, aws: Aws) -> StackRequest:
        """What `up` asks CloudFormation for."""
        with explain_errors():
            return request(aws, self._stack())

    def request(self) -> StackRequest:
        """What CloudFormation is asked for."""
        stack = self._stack()
        return StackRequest(template(), stack.parameters(**STAND_INS), {POOL_TAG: stack.pool}, LINKED_SERVICES)

    def up(self, aws: Aws, listener: Listener) -> tuple[str, ...]:
        """Create or update it."""
        stack = self._stack()
        change = up(aws, stack, listener)
        told = f"The stack {self.name} in {self.region} is {change}."
        if stack.bucket and sends_events(aws, stack.bucket) is not True:
            return (
                told,
                f"The bucket {stack.bucket} sends no events to EventBridge, as far as can be seen. Turn that on in its "
                "properties, or nothing is read. (put-bucket-notification-configuration would replace its others.)",
            )
        return (told, f"PDFs that land in s3://{stack.bucket}/{stack.prefix} are read from now on.")

    def down(self, aws: Aws, listener: Listener, *, force: bool) -> tuple[str, ...]:
        """End its tasks and delete it; the bucket and the results stay."""
        waiting = down(aws, self._stack(), listener, force=force)
        lost = (f"{waiting} uploads or failed tasks were waiting: `hearth batch` reads them.",) if waiting else ()
        return (f"{self.name} in {self.region} is gone; the bucket and the results are as they were.", *lost)

    def status(self, aws: Aws) -> StackStatus:
        """The stack, what waits, and its tasks."""
        return status(aws, self._stack())

    def _stack(self) -> TriggerStack:
        return TriggerStack(
            **self.settings.trigger.model_dump(),
            pool=self.settings.ec2.pool,
            region=self.region,
            output=str(self.settings.output),
        )


def deployment(settings: Settings, options: Options, region: str) -> LambdaDeployment:
    """The trigger that the settings describe."""
    return LambdaDeployment(settings, options, region)
