"""The status of the ECS service, and stopping its tasks."""

from dataclasses import dataclass
from typing import Any

from tasks.aws.client import Aws
from tasks.backends.ecs.outputs import find_stack
from tasks.backends.ecs.service import Look, Service
from tasks.core.errors import CloudError
from tasks.costs.price_book import current_book
from tasks.leasing.lease import Lease
from tasks.settings.settings import Settings


@dataclass(frozen=True)
class ServiceStatus:
    """The service, and the runs that use it.

    Attributes:
        usd_per_hour: of what is paid for now, on demand, without the load balancer; None if unknown.
    """

    name: str
    look: Look
    leases: tuple[Lease, ...]
    usd_per_hour: float | None

    @property
    def facts(self) -> dict[str, Any]:
        """The status for `--json`."""
        look = self.look
        return {
            **{"name": self.name, "desired": look.desired, "warm": look.healthy, "running": look.running},
            **{"paid": look.paid, "usd_per_hour": self.usd_per_hour},
            "leases": [{"holder": lease.holder, "slots": lease.slots, "until": lease.until} for lease in self.leases],
        }

    @property
    def summary(self) -> str:
        """The status in a sentence."""
        users = ", ".join(lease.holder for lease in self.leases) or "nobody"
        cost = "" if not self.usd_per_hour else f", at most USD {self.usd_per_hour:.2f} an hour"
        return f"{self.name}: {self.look}; {self.look.paid} paid for{cost}; used by {users}."


async def service_status(settings: Settings) -> ServiceStatus:
    """Return the status of the service.

    Raises:
        CloudError: AWS refuses, or the service is not deployed.
    """
    aws, service = await _open(settings)
    look = await service.look()
    if look is None:
        raise CloudError(f"The ECS service {service.stack.service} was deleted. Deploy it: hearth infra up ecs.")
    price = service.stack.usd_per_hour(aws.region, current_book(settings.home))
    cost = None if price is None else price * look.paid
    return ServiceStatus(service.stack.service, look, await service.leases(), cost)


async def send_away(settings: Settings, *, force: bool) -> str:
    """Have ECS stop all tasks, unless a run uses them, and return what was done.

    Args:
        settings: name the pool.
        force: stop them even if a run uses them; if it goes on, it requests its tasks again.

    Raises:
        CloudError: AWS refuses, or the service is not deployed.
    """
    _, service = await _open(settings)
    leases = await service.leases()
    if leases and not force:
        users = ", ".join(lease.holder for lease in leases)
        return f"{service.stack.service} is in use by {users}; --force sends its tasks away all the same."
    await service.request_tasks(0)
    return f"{service.stack.service}: its tasks go when their pages have ended, machines 15 minutes later."


async def _open(settings: Settings) -> tuple[Aws, Service]:
    aws = Aws(settings.ec2.region)
    return aws, Service(aws, await find_stack(aws, settings.ec2.pool))
