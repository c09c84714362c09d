"""An endpoint while a run uses it: what there is of it, woken when it sleeps, followed when it grows or goes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from tasks.aws.client import Aws, ask
from tasks.backends.sagemaker.outputs import Stack
from tasks.core.errors import CapacityError, CloudError, ServerError, TransientError
from tasks.core.events import Progress, emit
from tasks.core.interruption import Interruption
from tasks.ollama.client import OllamaClient
from tasks.settings.sagemaker import SagemakerSettings

_BROKEN = {"Failed", "OutOfService", "Deleting", "UpdateRollbackFailed"}
_INVALID = {"ValidationException", "ValidationError"}


@dataclass(frozen=True)
class Size:
    """What runs of an endpoint.

    Attributes:
        copies: of the model, that serve.
        instances: that are paid for.
        made: the endpoint exists for callers; while it is being created it does not.
    """

    copies: int
    instances: int
    made: bool = True


async def look(aws: Aws, stack: Stack, component: str | None) -> Size:
    """Ask SageMaker how large an endpoint is now.

    Raises:
        ServerError: it has failed, or is being deleted.
        CloudError: there is no such endpoint, or AWS refuses.
    """
    try:
        found = await ask(aws.sagemaker.describe_endpoint, EndpointName=stack.endpoint)
        if found["EndpointStatus"] in _BROKEN:
            raise _broken(stack.endpoint, found["EndpointStatus"], found.get("FailureReason"))
        made = found["EndpointStatus"] != "Creating"
        instances = sum(variant.get("CurrentInstanceCount", 0) for variant in found.get("ProductionVariants", ()))
        if component is None:
            return Size(instances, instances, made)
        served = await ask(aws.sagemaker.describe_inference_component, InferenceComponentName=component)
    except CloudError as error:
        if error.code not in _INVALID:
            raise
        told = f"There is no SageMaker endpoint {component or stack.endpoint}. Deploy it: hearth infra up sagemaker."
        raise CloudError(told, error.code) from None
    if served.get("InferenceComponentStatus") == "Failed":
        raise _broken(component, "Failed", served.get("FailureReason"))
    return Size(served.get("RuntimeConfig", {}).get("CurrentCopyCount", 0), instances, made)


def _broken(name: str, status: str, why: str | None) -> ServerError:
    told = (why or "SageMaker does not say why").rstrip(".")
    remedy = "Mend that, and deploy it again: hearth infra up sagemaker."
    return ServerError(f"The SageMaker endpoint {name} is {status}, and cannot be used: {told}. {remedy}")


async def wake(
    client: OllamaClient, aws: Aws, stack: Stack, component: str | None, settings: SagemakerSettings
) -> Size:
    """Ask until an instance answers. The first request that finds none sets off scaling out, on AWS's side.

    Args:
        client: of the endpoint; its timeout is as long as a queued request may wait.
        aws: is asked how large it is.
        stack: what was deployed.
        component: the inference component of the model.
        settings: how long, and how often.

    Raises:
        CapacityError: no instance came in time.
        UnavailableError: the endpoint cannot be used.
    """
    deadline = time.monotonic() + settings.start_seconds
    said = "it is being created"
    while True:
        size = await look(aws, stack, component)
        if size.made:
            if not size.copies:
                emit(Progress(f"waiting for {client.url}, which has no instance and gets one; that takes some minutes"))
            try:
                await client.version()
            except TransientError as error:
                said = str(error).rstrip(".")
            else:
                size = await look(aws, stack, component)
                # SageMaker tells of what it started a little later than that answers.
                return Size(max(1, size.copies), max(1, size.instances))
        if time.monotonic() >= deadline:
            raise CapacityError(
                f"{client.url} got no instance within {settings.start_seconds:g} s: {said}. Look at its state and "
                "your quotas (hearth infra status sagemaker), or raise HEARTH_SAGEMAKER__START_SECONDS."
            )
        await asyncio.sleep(settings.poll_seconds)


class Follower:
    """Watches an endpoint that a run uses, and tells its interruption when it is another: larger, smaller or gone."""

    def __init__(
        self, aws: Aws, stack: Stack, component: str | None, size: Size, interruption: Interruption, seconds: float
    ) -> None:
        self._watching = asyncio.create_task(_follow(aws, stack, component, size, interruption, seconds))

    def release(self) -> None:
        """Watch no longer. AWS scales the endpoint in by itself."""
        self._watching.cancel()


async def _follow(
    aws: Aws, stack: Stack, component: str | None, size: Size, interruption: Interruption, seconds: float
) -> None:
    while not interruption.announced:
        await asyncio.sleep(seconds)
        try:
            now = await look(aws, stack, component)
        except ServerError as error:
            interruption.mark_gone(str(error).rstrip("."))
        except CloudError as error:
            if error.code in _INVALID:
                interruption.mark_gone("the SageMaker endpoint was deleted")
        else:
            if now.copies and now.copies != size.copies:
                interruption.notify(f"the endpoint has {now.copies} copies of the model now, not {size.copies}")
