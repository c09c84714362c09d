# ruff: noqa: N999 - the registry finds a module by the name of its stack
"""Deploy the upload trigger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.stacks.base import Deployment
from infra_scripts.common.container_images import ECS_MEDIA_TYPES
from infra_scripts.common.deployment import CostTable, StackPlan, StackRequest, StackStatus
from infra_scripts.common.needs import Container, Needs
from infra_scripts.trigger.deploy import down, request, sends_events, status, up
from infra_scripts.trigger.upload_trigger import TriggerStack, plan_rows, template
from tasks.costs.rates import fargate_usd_per_hour, price_notes
from tasks.settings.trigger import Capacity

if TYPE_CHECKING:
    from infra_scripts.common.clients import Aws, Listener

_NOTES = (
    "The machines that a task reads on cost extra.",
    "docs/how-to/lambda.md has an example of a month's cost.",
)


class LambdaDeployment(Deployment):
    """A function that starts reading the PDFs that arrive in a bucket."""

    @property
    def name(self) -> str:
        """The name of the CloudFormation stack."""
        return self.stack().name

    @property
    def teardown_summary(self) -> str:
        """Everything that `down` deletes, for a question to the user."""
        return f"{self.name} in {self.region}: its function, queues with what waits in them, tasks and roles"

    def plan(self) -> StackPlan:
        """Return what `up` makes, and its cost."""
        stack, trigger = self.stack(), self.settings.trigger
        stack.checked()
        hourly = fargate_usd_per_hour(trigger.cpu // 1024, trigger.memory_mb // 1024, self.region, self.book)
        longest = trigger.max_minutes / 60 * 1.5
        row = (f"{trigger.cpu / 1024:g} vCPU, {trigger.memory_mb / 1024:g} GB", f"USD {hourly:.3f} an hour")
        costs = CostTable(
            ("a task", "while it reads", "at most, machines included"),
            ((*row, f"USD {hourly * longest + trigger.max_usd:.2f}"),),
        )
        return StackPlan(plan_rows(stack), costs, (*_NOTES, *price_notes(["fargate:vcpu"], self.region, self.book)))

    def template(self) -> str:
        """Return the CloudFormation template, which depends on no setting."""
        return template()

    def needs(self) -> Needs:
        """Return the concurrency of its function and, if it starts tasks, Fargate capacity and an image."""
        trigger = self.settings.trigger
        if trigger.prefect_url:  # the function starts Prefect runs, and no task
            return Needs(reserved_concurrency=trigger.reserved_concurrency)
        container = Container(
            name=trigger.image or "",
            media_types=ECS_MEDIA_TYPES,
            build="infra_scripts/worker/Dockerfile is its recipe, and docs/how-to/lambda.md has the commands",
        )
        return Needs(
            fargate_vcpu=trigger.cpu / 1024,
            fargate_spot=trigger.capacity is Capacity.FARGATE_SPOT,
            container=container,
            reserved_concurrency=trigger.reserved_concurrency,
        )

    def request(self, aws: Aws | None = None) -> StackRequest:
        """Return the request of `up`."""
        return request(aws, self.stack())

    def up(self, aws: Aws, listener: Listener) -> tuple[str, ...]:
        """Create or update the stack."""
        stack = self.stack()
        change = up(aws, stack, listener)
        done = f"The stack {self.name} in {self.region} is {change}."
        if stack.bucket and sends_events(aws, stack.bucket) is not True:
            return (
                done,
                f"The bucket {stack.bucket} seems to send no events to EventBridge. Turn that on in its properties, or "
                "nothing is read. (put-bucket-notification-configuration would replace its other notifications.)",
            )
        return (done, f"From now on, PDFs that arrive in s3://{stack.bucket}/{stack.prefix} are read.")

    def down(self, aws: Aws, listener: Listener, *, force: bool) -> tuple[str, ...]:
        """Stop its tasks and delete the stack; the bucket and the results stay."""
        waiting = down(aws, self.stack(), listener, force=force)
        lost = (
            (f"{waiting} uploads or failed tasks were still in the queue: `hearth batch` reads them.",)
            if waiting
            else ()
        )
        return (f"{self.name} in {self.region} is gone; the bucket and the results are unchanged.", *lost)

    def status(self, aws: Aws) -> StackStatus:
        """Return the status of the stack, its queue and its tasks."""
        return status(aws, self.stack())

    def stack(self) -> TriggerStack:
        """Return the stack that the settings describe."""
        return TriggerStack(
            **self.settings.trigger.model_dump(),
            pool=self.pool,
            region=self.region,
            output=str(self.settings.output),
        )


deployment = LambdaDeployment
