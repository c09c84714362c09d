"""The SageMaker endpoint, as `hearth infra` deploys it: the settings, handed to infra_scripts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from infra_scripts.common.container_images import SAGEMAKER_MEDIA_TYPES
from infra_scripts.common.deployment import CostTable, Options, StackPlan, StackRequest, StackStatus
from infra_scripts.common.errors import RequestError
from infra_scripts.common.instances import POOL_TAG
from infra_scripts.common.needs import Container, Needs
from infra_scripts.sagemaker.deploy import LINKED_SERVICES, down, request, status, up
from infra_scripts.sagemaker.endpoint import SagemakerStack, parameters, plan, stack_name, template
from tasks.costs.price_book import current_book
from tasks.costs.rates import on_demand_usd_per_hour, price_notes

if TYPE_CHECKING:
    from infra_scripts.common.clients import Aws, Listener
    from tasks.settings.settings import Settings


@dataclass(frozen=True)
class SagemakerDeployment:
    """An endpoint that AWS scales to what is asked of it."""

    settings: Settings
    options: Options
    region: str
    supported_options: ClassVar[frozenset[str]] = frozenset()

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
        return f"the SageMaker endpoint hearth-{self.pool} in {self.region}: its instances, stack, table and bucket"

    def plan(self) -> StackPlan:
        """What `up` makes and what it costs."""
        stack = self._stack()
        book = current_book(self.settings.home)
        usd = on_demand_usd_per_hour(stack.instance_type, self.region, book)
        rows, notes = plan(stack, usd)
        notes += tuple(price_notes([stack.instance_type], self.region, book))
        running = "not known" if usd is None else f"USD {usd:.3f} an hour, USD {usd * 24:.2f} a day"
        costs = CostTable(("instance", "running", "scaled in to none"), ((stack.instance_type, running, "nothing"),))
        return StackPlan(rows, costs, notes)

    def template(self) -> str:
        """The CloudFormation template."""
        return template(self._stack())

    def needs(self) -> Needs:
        """Instances of an endpoint, the container, and the role that scales them."""
        stack = self._stack()
        container = Container(stack.image, SAGEMAKER_MEDIA_TYPES, build="docs/how-to/sagemaker.md has the commands")
        return Needs(endpoint_type=stack.instance_type, container=container)

    def request_for(self, aws: Aws) -> StackRequest:
        """What `up` asks CloudFormation for."""
        del aws
        return request(self._stack())

    def request(self) -> StackRequest:
        """What CloudFormation is asked for."""
        stack = self._stack()
        return StackRequest(template(stack), parameters(stack), {POOL_TAG: stack.pool}, LINKED_SERVICES)

    def up(self, aws: Aws, listener: Listener) -> tuple[str, ...]:
        """Create or update the stack."""
        change = up(aws, self._stack(), listener)
        return (
            f"The stack {self.name} in {self.region} is {change}.",
            f"Read with it:  HEARTH_EC2__POOL={self.pool} hearth read paper.pdf --backend sagemaker",
        )

    def down(self, aws: Aws, listener: Listener, *, force: bool) -> tuple[str, ...]:
        """Delete the stack with its endpoint."""
        down(aws, self.pool, listener, force=force)
        return (
            f"The SageMaker endpoint hearth-{self.pool} in {self.region} is gone. "
            "Kept: the container's image in ECR (USD 0.10 per GB and month).",
        )

    def status(self, aws: Aws) -> StackStatus:
        """The stack, the endpoint, and what of it is paid for now."""
        found = status(aws, self.pool)
        usd = on_demand_usd_per_hour(found.instance_type, self.region, current_book(self.settings.home))
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
                "The endpoint needs Hearth's container in ECR: set HEARTH_SAGEMAKER_STACK__IMAGE, such as "
                "123456789012.dkr.ecr.us-east-1.amazonaws.com/hearth:1. docs/how-to/sagemaker.md has the commands."
            )
        return SagemakerStack(**endpoint.model_dump(), pool=self.pool, region=self.region)


def deployment(settings: Settings, options: Options, region: str) -> SagemakerDeployment:
    """The endpoint that the settings name."""
    return SagemakerDeployment(settings, options, region)
