"""Deploy a SageMaker endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flows.stacks.base import Deployment
from infra_scripts.common.container_images import SAGEMAKER_MEDIA_TYPES
from infra_scripts.common.deployment import CostTable, StackPlan, StackRequest, StackStatus
from infra_scripts.common.errors import RequestError
from infra_scripts.common.needs import Container, Needs
from infra_scripts.sagemaker.deploy import down, request, status, up
from infra_scripts.sagemaker.endpoint import SagemakerStack, plan, stack_name
from tasks.costs.rates import on_demand_usd_per_hour, price_notes

if TYPE_CHECKING:
    from infra_scripts.common.clients import Aws, Listener


class SagemakerDeployment(Deployment):
    """An endpoint that AWS scales with its requests."""

    @property
    def name(self) -> str:
        """The name of the CloudFormation stack."""
        return stack_name(self.pool)

    @property
    def teardown_summary(self) -> str:
        """Everything that `down` deletes, for a question to the user."""
        return f"the SageMaker endpoint hearth-{self.pool} in {self.region}: its instances, stack, table and bucket"

    def plan(self) -> StackPlan:
        """Return what `up` makes, and its cost."""
        stack, book = self._stack(), self.book
        usd = on_demand_usd_per_hour(stack.instance_type, self.region, book)
        rows, notes = plan(stack, usd)
        notes += tuple(price_notes([stack.instance_type], self.region, book))
        running = "unknown" if usd is None else f"USD {usd:.3f} an hour, USD {usd * 24:.2f} a day"
        costs = CostTable(("instance", "running", "scaled in to none"), ((stack.instance_type, running, "nothing"),))
        return StackPlan(rows, costs, notes)

    def needs(self) -> Needs:
        """Return the endpoint's instance type and its container."""
        stack = self._stack()
        container = Container(stack.image, SAGEMAKER_MEDIA_TYPES, build="docs/how-to/sagemaker.md has the commands")
        return Needs(endpoint_type=stack.instance_type, container=container)

    def request(self, aws: Aws | None = None) -> StackRequest:
        """Return the request to CloudFormation; no part of it comes from AWS."""
        del aws
        return request(self._stack())

    def up(self, aws: Aws, listener: Listener) -> tuple[str, ...]:
        """Create or update the stack."""
        change = up(aws, self._stack(), listener)
        return (
            f"The stack {self.name} in {self.region} is {change}.",
            f"Read with it:  HEARTH_EC2__POOL={self.pool} hearth read paper.pdf --backend sagemaker",
        )

    def down(self, aws: Aws, listener: Listener, *, force: bool) -> tuple[str, ...]:
        """Delete the stack and its endpoint."""
        down(aws, self.pool, listener, force=force)
        return (
            f"The SageMaker endpoint hearth-{self.pool} in {self.region} is gone. "
            "The container's image stays in ECR (USD 0.10 per GB and month).",
        )

    def status(self, aws: Aws) -> StackStatus:
        """Return the status of the stack, and of the endpoint and its instances."""
        found = status(aws, self.pool)
        usd = on_demand_usd_per_hour(found.instance_type, self.region, self.book)
        price = f" at USD {usd * found.instances:.2f} an hour" if usd is not None and found.instances else ""
        running = f"{found.instances} x {found.instance_type}{price}" if found.instances else "none"
        facts = [("endpoint", found.endpoint or "none"), ("instances", running)]
        if found.why:
            facts.append(("trouble", found.why))
        return StackStatus(found.stack, tuple(facts))

    def _stack(self) -> SagemakerStack:
        endpoint = self.settings.sagemaker_stack
        if endpoint.image is None:
            raise RequestError(
                "The endpoint needs Hearth's container in ECR. Set HEARTH_SAGEMAKER_STACK__IMAGE, for example "
                "123456789012.dkr.ecr.us-east-1.amazonaws.com/hearth:1. docs/how-to/sagemaker.md has the commands."
            )
        return SagemakerStack(**endpoint.model_dump(), pool=self.pool, region=self.region)


deployment = SagemakerDeployment
