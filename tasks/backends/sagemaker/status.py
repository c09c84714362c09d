"""The status of the SageMaker endpoint."""

from dataclasses import dataclass
from typing import Any

from tasks.aws.client import Aws
from tasks.backends.sagemaker.endpoint import look
from tasks.backends.sagemaker.outputs import Stack, find_stack
from tasks.costs.price_book import current_book
from tasks.costs.rates import on_demand_usd_per_hour
from tasks.settings.settings import Settings


@dataclass(frozen=True)
class EndpointStatus:
    """The endpoint, and its cost.

    Attributes:
        copies: of each model, that serve.
        instances: that are paid for.
        usd_per_hour: of all of them; None if unknown.
    """

    stack: Stack
    copies: dict[str, int]
    instances: int
    usd_per_hour: float | None

    @property
    def facts(self) -> dict[str, Any]:
        """The status for `--json`."""
        return {
            **{"name": self.stack.endpoint, "copies": self.copies, "instances": self.instances},
            **{"type": self.stack.instance_type, "usd_per_hour": self.usd_per_hour, "ends": self.stack.ends},
        }

    @property
    def summary(self) -> str:
        """The status in a sentence."""
        copies = ", ".join(f"{count} of {model}" for model, count in self.copies.items())
        cost = "" if not self.usd_per_hour else f", USD {self.usd_per_hour:.2f} an hour"
        paid = f"{self.instances} x {self.stack.instance_type} paid for{cost}"
        return f"{self.stack.endpoint}: copies: {copies}; {paid}; {self.stack.ends}."


async def endpoint_status(settings: Settings) -> EndpointStatus:
    """Return the status of the endpoint.

    Raises:
        ServerError: the endpoint has failed.
        CloudError: AWS refuses, or it is not deployed.
    """
    aws = Aws(settings.ec2.region)
    stack = await find_stack(aws, settings.ec2.pool)
    sizes = {model: await look(aws, stack, component) for model, component in stack.models.items()}
    instances = max((size.instances for size in sizes.values()), default=0)
    price = on_demand_usd_per_hour(stack.instance_type, aws.region, current_book(settings.home))
    copies = {model: size.copies for model, size in sizes.items()}
    return EndpointStatus(stack, copies, instances, None if price is None else price * instances)
