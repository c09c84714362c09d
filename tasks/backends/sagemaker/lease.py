"""A run's use of an endpoint, which is followed meanwhile. SageMaker itself knows no leases."""

import asyncio
from dataclasses import dataclass

from tasks.aws.client import Aws
from tasks.backends.base import ServerLease
from tasks.backends.sagemaker.endpoint import INVALID, Size, look
from tasks.backends.sagemaker.outputs import Stack
from tasks.backends.server_status import ServerStatus
from tasks.core.errors import CloudError, ServerError


@dataclass
class EndpointLease(ServerLease):
    """Follows an endpoint, and notifies its interruption when it has changed: it is larger, smaller or gone.

    Attributes:
        component: the inference component of the run's model.
        size: when it was acquired.
        seconds: between two looks.
    """

    aws: Aws
    stack: Stack
    component: str | None
    size: Size
    seconds: float
    managed = True

    def __post_init__(self) -> None:
        """Start to follow it."""
        self._following = asyncio.create_task(self._follow())

    def release(self) -> None:
        """Stop following. AWS scales the endpoint in by itself."""
        self._following.cancel()

    async def status(self) -> ServerStatus:
        """See `ServerLease`."""
        return ServerStatus("SageMaker knows none", self.stack.ends)

    async def _follow(self) -> None:
        while not self.interruption.announced:
            await asyncio.sleep(self.seconds)
            try:
                now = await look(self.aws, self.stack, self.component)
            except ServerError as error:
                self.interruption.mark_gone(str(error).rstrip("."))
            except CloudError as error:
                if error.code in INVALID:
                    self.interruption.mark_gone("the SageMaker endpoint was deleted")
            else:
                if now.copies and now.copies != self.size.copies:
                    self.interruption.notify(
                        f"the endpoint has {now.copies} copies of the model now, not {self.size.copies}"
                    )
