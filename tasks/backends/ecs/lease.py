"""A run's lease on the service: renewed while the run uses it, its demand published and its tasks followed."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field

from tasks.backends.base import ServerLease
from tasks.backends.ecs.service import SERVICE, Service
from tasks.backends.server_status import ServerStatus, leased
from tasks.core.errors import CloudError, ModelError
from tasks.core.replicas import Replicas
from tasks.inference.names import canonical_name
from tasks.inference.schema import GenerateRequest
from tasks.leasing.lease import Lease
from tasks.leasing.renewer import LeaseRenewer
from tasks.settings.ecs import EcsSettings

_POLLS_A_PUBLICATION = 4
_HAND_BACK_SECONDS = 15.0


@dataclass
class ServiceLease(ServerLease):
    """A lease on the service until `hand_back`, kept in a thread of its own, so that a busy event loop loses none.

    Attributes:
        tasks: least number that the run needs; if AWS removes some while it reads, they are requested again.
        since: when it began, seconds since the epoch.
        replicas: the tasks that serve.
        interruption: notified when none has served for long, or the service was deleted.
    """

    service: Service
    settings: EcsSettings
    lease: Lease
    tasks: int
    since: float = field(default_factory=time.time)
    managed = True

    def __post_init__(self) -> None:
        """Start the thread."""
        self.replicas = Replicas(0)
        self._served_at: float | None = None
        poll = self.settings.poll_seconds
        self._renewer = LeaseRenewer(
            self.service.records,
            SERVICE,
            self.lease,
            self.settings.lease_seconds,
            {self.look: poll, self._publish: poll * _POLLS_A_PUBLICATION},
            on_start=self._publish_first,
        )

    def release(self) -> None:
        """Stop the renewal; the lease itself ends by `hand_back`, or by itself."""
        self._renewer.stop()

    def check_request(self, request: GenerateRequest) -> None:
        """See `ServerLease`: tasks that load another model would count as broken."""
        model, num_ctx = self.service.stack.model, self.service.stack.num_ctx
        if (canonical_name(request.model), request.num_ctx) != (canonical_name(model), num_ctx):
            raise ModelError(
                f"{self.service.stack.url} keeps {model} warm with num_ctx {num_ctx}, and the run requests "
                f"{request.model} with {request.num_ctx}. Read with those (--model {model} --num-ctx {num_ctx}), or "
                "deploy the others."
            )

    async def status(self) -> ServerStatus:
        """See `ServerLease`."""
        count = self.replicas.count
        return leased(await self.service.leases(), f"{count} tasks are warm; AWS stops them when they are idle")

    async def hand_back(self, *, broken: bool) -> bool:
        """Give the lease back. If the service did not work and no other run uses it, request that no task runs.

        Returns:
            Whether the tasks were sent away.

        Raises:
            CloudError: AWS refuses or does not answer in 15 s; then the lease ends by itself.
        """
        self.release()
        try:
            async with asyncio.timeout(_HAND_BACK_SECONDS):
                await self.service.records.release(SERVICE, self.lease)
                if broken and not await self.service.leases():
                    await asyncio.to_thread(self._renewer.wait_ended)  # else a look under way might request them again
                    await self.service.request_tasks(0)
                    return True
        except TimeoutError:
            raise CloudError(f"AWS did not answer in {_HAND_BACK_SECONDS:g} s.") from None
        return False

    async def look(self) -> str:
        """Look which tasks serve, request those that are missing, and return a summary.

        Raises:
            CloudError: AWS refuses or cannot be reached.
        """
        seen = await self.service.look()
        if seen is None:
            self.interruption.mark_gone("the ECS service was deleted")
            return "the ECS service was deleted"
        self.replicas.see(seen.healthy, paid=seen.paid)
        if self._renewer.stopped:
            return str(seen)
        if seen.desired < self.tasks:
            await self.service.request_tasks(self.tasks)
        if seen.healthy:
            self._served_at = time.monotonic()
        elif self._served_at is not None and time.monotonic() - self._served_at > self.settings.gone_seconds:
            self.interruption.mark_gone(f"no ECS task has served for {self.settings.gone_seconds:g} s")
        return f"{seen}. {seen.event}" if seen.event else f"{seen}"

    async def _publish_first(self) -> None:
        with suppress(CloudError):
            await self._publish()  # before the alarm that takes silence for disuse fires again

    async def _publish(self) -> None:
        await self.service.publish(self.replicas.waiting() / max(1, self.replicas.count * self.service.stack.slots))
