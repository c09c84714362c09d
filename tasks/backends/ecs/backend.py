"""Tasks on ECS behind a load balancer: one server whose slots follow the number of warm tasks."""

import asyncio
import math
import time
from contextlib import suppress

from tasks.aws.client import Aws
from tasks.backends.base import Allocation, Backend, Endpoint, MachineFacts, Release
from tasks.backends.ecs.lease import ServiceLease
from tasks.backends.ecs.outputs import EcsStack
from tasks.backends.ecs.service import SERVICE, Service
from tasks.backends.ecs.status import check, service_status, stop_tasks
from tasks.backends.registration import Registration
from tasks.core.errors import CapacityError, CloudError
from tasks.core.events import Progress, RunWarning, emit
from tasks.core.jobs import BackendName
from tasks.core.scaling import Scale
from tasks.costs.price_book import current_book
from tasks.costs.rates import HOURS_A_MONTH, balancer_usd_per_hour, fallback_note
from tasks.leasing.lease import Lease
from tasks.leasing.slot_store import TableStore
from tasks.settings.settings import Settings


class EcsBackend(Backend):
    """The service of a pool. Its stack is looked up at the first use and kept."""

    name = BackendName.ECS

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._aws = Aws(settings.ec2.region)
        self._stack: EcsStack | None = None
        self.pool_name = settings.ec2.pool
        self.default_model = settings.ecs_stack.model
        self.default_slots = settings.ecs_stack.slots * settings.ecs_stack.max_tasks

    def describe(self) -> str:
        """See `Backend`."""
        return f"the ECS service of the pool {self._settings.ec2.pool!r}"

    def scale(self, slots: int) -> Scale:
        """See `Backend`. The threshold is the one at which AWS adds a task."""
        deployed = self._settings.ecs_stack
        most = min(deployed.max_tasks, math.ceil(slots / deployed.slots))
        return Scale(most, deployed.slots, deployed.pages_per_slot, min(most, self._settings.ecs.tasks))

    async def acquire(self, slots: int, holder: str, replicas: int = 1) -> Allocation:
        """See `Backend`. Requests tasks, and waits until the first is warm.

        Raises:
            CapacityError: none gets warm in time; the service's newest event says why.
            CloudError: AWS refuses, or the service is not deployed.
        """
        emit(Progress("asking AWS for the ECS service"))
        if self._stack is None:
            self._stack = await EcsStack.find(self._aws, self._settings.ec2.pool)
        stack, settings = self._stack, self._settings.ecs
        region, book = self._aws.region, current_book(self._settings.home)
        if (note := fallback_note(["fargate:vcpu" if stack.on_fargate else stack.kind], region, book)) is not None:
            emit(RunWarning(note))
        tasks = min(replicas, stack.max_tasks, math.ceil(slots / stack.slots))
        service = Service(self._aws, stack)
        await service.check_image()
        lease = Lease(holder, slots, service.records.now() + settings.lease_seconds)
        if not await service.records.take(SERVICE, lease):
            raise CloudError(f"The ECS service of the pool {stack.pool!r} is being stopped. Try again in two minutes.")
        service_lease = ServiceLease(service, settings, lease, tasks)
        try:
            started = await self._warm(service_lease)
        except BaseException:
            with suppress(CloudError):
                await service_lease.hand_back(broken=True)
            raise
        return Allocation(
            backend=self.name,
            endpoint=Endpoint(stack.url),
            slots=stack.slots,
            ledger=TableStore(service.table, SERVICE),
            started=started,
            lease=service_lease,
            machine=MachineFacts(
                id=stack.service,
                kind=f"ECS tasks on {stack.kind}",
                usd_per_hour=stack.usd_per_hour(region, book),
                since=service_lease.since,
                region=region,
                replicas=service_lease.replicas,
                boot_seconds=time.time() - service_lease.since if started else 0.0,
            ),
        )

    async def _warm(self, lease: ServiceLease) -> bool:
        """Wait until a task serves, and return whether one had to be started."""
        settings = self._settings.ecs
        deadline = time.monotonic() + settings.start_seconds
        started, shown = False, ""
        while True:
            seen = await lease.look()
            if lease.replicas.count:
                return started
            if lease.interruption.gone:
                raise CloudError("The ECS service was deleted meanwhile. Deploy it: hearth infra up ecs.")
            if time.monotonic() >= deadline:
                raise CapacityError(
                    f"No ECS task of the pool {lease.service.stack.pool!r} got warm in {settings.start_seconds:g} s: "
                    f"{seen}. See that the image was pushed (infra_scripts/ecs/build.sh), that the quota allows the "
                    "machines, and what the tasks logged; or raise HEARTH_ECS__START_SECONDS."
                )
            started = True
            if seen != shown:
                emit(Progress(f"waiting for ECS: {seen}"))
                shown = seen
            await asyncio.sleep(settings.poll_seconds)

    async def release(self, allocation: Allocation, *, broken: bool = False) -> Release:
        """See `Backend`. An alarm of AWS scales in; runs take no part in it."""
        lease = allocation.lease
        if not isinstance(lease, ServiceLease):
            return Release("was not leased")
        name = lease.service.stack.service
        try:
            sent_away = await lease.hand_back(broken=broken)
        except CloudError as error:
            wait = self._settings.ecs.lease_seconds
            emit(RunWarning(f"{name} could not be given back: {error} Its lease ends by itself in {wait:g} s."))
            return Release(f"{name} is left to its lease's end")
        if sent_away:
            return Release(f"{name} did not work: its tasks are sent away")
        return Release(f"{name} keeps its tasks for its idle time after their last use")


def _not_billed() -> str:
    balancer = balancer_usd_per_hour() * HOURS_A_MONTH
    return (
        f"Not in it: ECS's load balancer (USD {balancer:.2f} a month in us-east-1, used or not), disks, and machines "
        "after a run."
    )


REGISTRATION = Registration(
    name=EcsBackend.name,
    open=EcsBackend,
    check=check,
    status=service_status,
    stop=stop_tasks,
    not_billed=_not_billed,
)
