"""The status of the SageMaker endpoint, and what a run needs of it."""

from tasks.aws.client import Aws, caller
from tasks.aws.quotas import endpoint_quota, of_quotas
from tasks.backends.registration import CloudStatus
from tasks.backends.sagemaker.endpoint import look
from tasks.backends.sagemaker.outputs import Stack
from tasks.core.finding import Finding, Findings, State
from tasks.costs.price_book import current_book
from tasks.costs.rates import on_demand_usd_per_hour
from tasks.settings.settings import Settings


async def endpoint_status(settings: Settings) -> CloudStatus:
    """Return the status of the endpoint: the copies of each model that serve, and the instances that are paid for.

    Raises:
        ServerError: the endpoint has failed.
        CloudError: AWS refuses, or it is not deployed.
    """
    aws = Aws(settings.ec2.region)
    stack = await Stack.find(aws, settings.ec2.pool)
    sizes = {model: await look(aws, stack, component) for model, component in stack.models.items()}
    instances = max((size.instances for size in sizes.values()), default=0)
    price = on_demand_usd_per_hour(stack.instance_type, aws.region, current_book(settings.home))
    usd, copies = None if price is None else price * instances, {model: size.copies for model, size in sizes.items()}
    facts = {
        **{"name": stack.endpoint, "copies": copies, "instances": instances},
        **{"type": stack.instance_type, "usd_per_hour": usd, "ends": stack.ends},
    }
    served = ", ".join(f"{count} of {model}" for model, count in copies.items())
    cost = f", USD {usd:.2f} an hour" if usd else ""
    paid = f"{instances} x {stack.instance_type} paid for{cost}"
    return CloudStatus({"service": facts}, f"{stack.endpoint}: copies: {served}; {paid}; {stack.ends}.")


async def check(settings: Settings) -> Findings:
    """Check credentials, stack and quota, in the order in which a run needs them. Nothing is started."""
    aws = Aws(settings.ec2.region)
    yield Finding(State.OK, f"AWS knows the credentials: {await caller(aws)}.")
    status = await endpoint_status(settings)
    yield Finding(State.OK, status.summary)
    yield of_quotas(await endpoint_quota(aws, status.facts["service"]["type"]))
