"""The status of the ECS service, what a run needs of it, and stopping its tasks."""

from collections.abc import Collection

from tasks.aws.client import Aws, caller
from tasks.aws.quotas import ec2_quota, of_quotas
from tasks.backends.ecs.outputs import EcsStack
from tasks.backends.ecs.service import Service
from tasks.backends.registration import CloudStatus, Confirm, Say
from tasks.core.errors import CloudError
from tasks.core.finding import Finding, Findings, State
from tasks.costs.price_book import current_book
from tasks.settings.ecs import Capacity
from tasks.settings.settings import Settings


async def service_status(settings: Settings) -> CloudStatus:
    """Return the status of the service, the runs that use it, and what is paid for now on demand without the balancer.

    Raises:
        CloudError: AWS refuses, or the service is not deployed.
    """
    aws, service = await _open(settings)
    name, look = service.stack.service, await service.look()
    if look is None:
        raise CloudError(f"The ECS service {name} was deleted. Deploy it: hearth infra up ecs.")
    price = service.stack.usd_per_hour(aws.region, current_book(settings.home))
    usd, leases = None if price is None else price * look.paid, await service.leases()
    facts = {
        **{"name": name, "desired": look.desired, "warm": look.healthy, "running": look.running, "paid": look.paid},
        **{"usd_per_hour": usd, "leases": [lease.facts for lease in leases]},
    }
    users = ", ".join(lease.holder for lease in leases) or "nobody"
    cost = f", at most USD {usd:.2f} an hour" if usd else ""
    return CloudStatus({"service": facts}, f"{name}: {look}; {look.paid} paid for{cost}; used by {users}.")


async def check(settings: Settings) -> Findings:
    """Check credentials, service and quota, in the order in which a run needs them. Nothing is started."""
    aws = Aws(settings.ec2.region)
    yield Finding(State.OK, f"AWS knows the credentials: {await caller(aws)}.")
    yield Finding(State.OK, (await service_status(settings)).summary)
    stack = settings.ecs_stack
    if stack.capacity is Capacity.GPU:
        market = "on-demand" if stack.on_demand_base or stack.on_demand_percent else "spot"
        yield of_quotas(await ec2_quota(aws, market, stack.types[0]))


async def stop_tasks(settings: Settings, names: Collection[str], say: Say, confirm: Confirm) -> set[str]:
    """Stop all tasks of the service if it is named, or nothing is; a run that goes on requests them again.

    Raises:
        CloudError: AWS refuses, or the service is not deployed.
    """
    _, service = await _open(settings)
    name, leases = service.stack.service, await service.leases()
    if names and name not in names:
        return set()
    users = ", ".join(lease.holder for lease in leases)
    if leases and not confirm(f"{name} is in use by {users}. Stop its tasks?"):
        say(f"{name} is in use by {users}, and its tasks are left running. --force stops them anyway.")
    else:
        await service.request_tasks(0)
        say(f"{name}: its tasks go when their pages have ended, machines 15 minutes later.")
    return {name}


async def _open(settings: Settings) -> tuple[Aws, Service]:
    aws = Aws(settings.ec2.region)
    return aws, Service(aws, await EcsStack.find(aws, settings.ec2.pool))
