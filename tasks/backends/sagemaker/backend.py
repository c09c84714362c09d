"""A SageMaker endpoint: woken, used over its copies' slots, and scaled in by AWS when it is idle."""

import time
from collections.abc import Callable
from functools import partial

import httpx

from tasks.aws.client import Aws
from tasks.backends.base import Allocation, Backend, Endpoint, MachineFacts, Release
from tasks.backends.registration import Registration
from tasks.backends.sagemaker.async_transport import QueuedTransport
from tasks.backends.sagemaker.endpoint import wake
from tasks.backends.sagemaker.lease import EndpointLease
from tasks.backends.sagemaker.outputs import Stack
from tasks.backends.sagemaker.realtime_transport import RealTimeTransport
from tasks.backends.sagemaker.status import check, endpoint_status
from tasks.core.events import Progress, RunWarning, emit
from tasks.core.interruption import Interruption
from tasks.core.jobs import BackendName
from tasks.costs.price_book import current_book
from tasks.costs.rates import fallback_note, on_demand_usd_per_hour
from tasks.leasing.slot_store import TableStore
from tasks.leasing.table import Table
from tasks.ollama.client import OllamaClient
from tasks.settings.settings import Settings


class SagemakerBackend(Backend):
    """The endpoint of a pool, which serves a whole run."""

    name = BackendName.SAGEMAKER

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._aws = Aws(settings.ec2.region)
        self._stack: Stack | None = None
        self.pool_name = settings.ec2.pool
        deployed = settings.sagemaker_stack
        self.default_model = deployed.models[0]
        self.default_slots = deployed.slots * deployed.max_copies

    def describe(self) -> str:
        """See `Backend`."""
        return f"the SageMaker endpoint of the pool {self._settings.ec2.pool!r}"

    async def acquire(self, slots: int, holder: str, replicas: int = 1) -> Allocation:
        """See `Backend`.

        Raises:
            ModelError: the endpoint does not serve the model.
            CapacityError: no instance was ready in time.
            CloudError: AWS refuses, or nothing is deployed.
        """
        del holder, replicas
        began = time.time()
        emit(Progress("asking AWS for the endpoint"))
        settings, aws = self._settings.sagemaker, self._aws
        self._stack = stack = await Stack.find(aws, self._settings.ec2.pool)
        component = stack.component(self._settings.model or self.default_model)
        interruption = Interruption()
        transport = self._transport(stack, component, interruption)
        url = f"sagemaker://{component or stack.endpoint}"
        async with OllamaClient(url, timeout=settings.start_seconds, transport=transport()) as client:
            size = await wake(client, aws, stack, component, settings)
        book = current_book(self._settings.home)
        if (note := fallback_note([stack.instance_type], aws.region, book)) is not None:
            emit(RunWarning(note))
        price = on_demand_usd_per_hour(stack.instance_type, aws.region, book)
        return Allocation(
            backend=self.name,
            endpoint=Endpoint(url, transport=transport),
            slots=min(slots, size.copies * stack.slots),
            # With another number of copies it counts as another server, whose slots are measured again.
            ledger=TableStore(Table(aws, stack.table), f"{component or stack.endpoint}x{size.copies}"),
            lease=EndpointLease(aws, stack, component, size, settings.follow_seconds, interruption=interruption),
            # The cost is that of all its instances, whoever uses them, from when they were requested.
            machine=MachineFacts(
                id=stack.endpoint,
                kind=f"{size.instances} x {stack.instance_type}, SageMaker {'async' if stack.bucket else 'real time'}",
                usd_per_hour=None if price is None else price * size.instances,
                since=began,
                region=aws.region,
            ),
        )

    async def release(self, allocation: Allocation, *, broken: bool = False) -> Release:
        """See `Backend`. AWS stops what is idle; nothing is stopped here."""
        del broken
        allocation.lease.release()
        if allocation.interruption.gone:
            return Release(f"is gone: {allocation.interruption.why}")
        return Release("was not acquired" if self._stack is None else self._stack.ends)

    def _transport(
        self, stack: Stack, component: str | None, interruption: Interruption
    ) -> Callable[[], httpx.AsyncBaseTransport]:
        if stack.bucket is not None:
            return partial(QueuedTransport, self._aws, stack.endpoint, stack.bucket, interruption=interruption)
        most = round(self._settings.sagemaker.payload_mb * 1e6)
        return partial(
            RealTimeTransport, self._aws, stack.endpoint, component, most_bytes=most, interruption=interruption
        )


def _not_billed() -> str:
    return "Not in it: SageMaker's copies that are kept, and instances until AWS scales them in."


REGISTRATION = Registration(
    name=SagemakerBackend.name, open=SagemakerBackend, check=check, status=endpoint_status, not_billed=_not_billed
)
