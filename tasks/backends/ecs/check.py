"""Check what a run needs to get tasks: credentials, service, quota. Nothing is started."""

from tasks.aws.client import Aws, caller
from tasks.aws.quotas import ec2_quota, of_quotas
from tasks.backends.ecs.status import service_status
from tasks.core.finding import Finding, Findings, State
from tasks.settings.ecs import Capacity
from tasks.settings.settings import Settings


async def check(settings: Settings) -> Findings:
    """Check what a run needs, in the order in which it needs it."""
    aws = Aws(settings.ec2.region)
    yield Finding(State.OK, f"AWS knows the credentials: {await caller(aws)}.")
    yield Finding(State.OK, (await service_status(settings)).summary)
    stack = settings.ecs_stack
    if stack.capacity is Capacity.GPU:
        market = "on-demand" if stack.on_demand_base or stack.on_demand_percent else "spot"
        yield of_quotas(await ec2_quota(aws, market, stack.types[0]))
