"""A SageMaker endpoint: woken, used over its copies' slots, and scaled in by AWS itself when nobody asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import httpx

from tasks.aws.client import Aws
from tasks.backends.base import Allocation, Endpoint, MachineFacts, Release
from tasks.backends.sagemaker.async_transport import QueuedTransport
from tasks.backends.sagemaker.endpoint import Follower, Size, wake
from tasks.backends.sagemaker.outputs import Stack, find_stack
from tasks.backends.sagemaker.realtime_transport import RealTimeTransport
from tasks.backends.server_status import ServerStatus
from tasks.core.events import Progress, RunWarning, emit
from tasks.core.interruption import Interruption
from tasks.core.jobs import BackendName
from tasks.core.scaling import Scale
from tasks.costs.price_book import current_book
from tasks.costs.rates import fallback_note, on_demand_usd_per_hour
from tasks.leasing.slot_store import TableStore
from tasks.leasing.table import Table
from tasks.ollama.client import OllamaClient
from tasks.settings.settings import Settings


def offer(settings: Settings) -> str | None:
    """Why `auto` takes this backend: it never does, since it costs money."""
    del settings
    return None


class SagemakerBackend:
    """See the module. One endpoint serves all of a run."""

    name = BackendName.SAGEMAKER
    servers = 1

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._aws = Aws(settings.ec2.region)
        self._stack: Stack | None = None
        deployed = settings.sagemaker_stack
        self.default_model = deployed.models[0]
        self.default_slots = deployed.slots * deployed.max_copies

    def describe(self) -> str:
        """See `Backend`."""
        return f"the SageMaker endpoint of the pool {self._settings.ec2.pool!r}"

    async def digest(self, model: str) -> str | None:
        """See `Backend`: only the endpoint knows, and it is not woken for it."""
        del model
        return None

    def scale(self, slots: int) -> Scale:
        """See `Backend`."""
        del slots
        return Scale()

    async def acquire(self, slots: int, holder: str, parts: int = 1) -> Allocation:
        """See `Backend`.

        Raises:
            ModelError: the endpoint does not serve the model.
            CapacityError: no instance came in time.
            CloudError: AWS refuses, or nothing is deployed.
        """
        del holder, parts
        began = time.time()
        emit(Progress("asking AWS for the endpoint"))
        settings, aws = self._settings.sagemaker, self._aws
        self._stack = stack = await find_stack(aws, self._settings.ec2.pool)
        component = stack.component(self._settings.model or self.default_model)
        interruption = Interruption()
        transport = self._transport(stack, component, interruption)
        url = f"sagemaker://{component or stack.endpoint}"
        async with OllamaClient(url, timeout=settings.start_seconds, transport=transport()) as client:
            size = await wake(client, aws, stack, component, settings)
        book = current_book(self._settings.home)
        if (told := fallback_note([stack.instance_type], aws.region, book)) is not None:
            emit(RunWarning(told))
        return Allocation(
            backend=self.name,
            endpoint=Endpoint(url, transport=transport),
            slots=min(slots, size.copies * stack.slots),
            # With another number of copies it is another server, whose slots are measured anew.
            ledger=TableStore(Table(aws, stack.table), f"{component or stack.endpoint}x{size.copies}"),
            lease=Follower(aws, stack, component, size, interruption, settings.follow_seconds),
            machine=_facts(
                stack, size, began, aws.region, on_demand_usd_per_hour(stack.instance_type, aws.region, book)
            ),
            interruption=interruption,
            status=partial(_status, stack),
        )

    async def release(self, allocation: Allocation, *, broken: bool = False) -> Release:
        """See `Backend`: nothing is stopped from here."""
        del broken
        if allocation.lease is not None:
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


def _facts(stack: Stack, size: Size, since: float, region: str, usd: float | None) -> MachineFacts:
    """Its cost is that of all its instances, whoever else uses them, from when they were asked for."""
    kind = f"{size.instances} x {stack.instance_type}, SageMaker {'async' if stack.bucket else 'real time'}"
    return MachineFacts(stack.endpoint, kind, None if usd is None else usd * size.instances, since, region=region)


async def _status(stack: Stack) -> ServerStatus:
    return ServerStatus("SageMaker knows none", stack.ends)
