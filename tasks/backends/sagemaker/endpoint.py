"""The size of an endpoint, and waking it when it has no instance."""

import asyncio
import time
from dataclasses import dataclass

from tasks.aws.client import Aws, ask
from tasks.backends.sagemaker.outputs import Stack
from tasks.core.errors import CapacityError, CloudError, ServerError, TransientError
from tasks.core.events import Progress, emit
from tasks.ollama.client import OllamaClient
from tasks.settings.sagemaker import SagemakerSettings

_BROKEN = {"Failed", "OutOfService", "Deleting", "UpdateRollbackFailed"}
INVALID = {"ValidationException", "ValidationError"}


@dataclass(frozen=True)
class Size:
    """The size of an endpoint.

    Attributes:
        copies: of the model, that serve.
        instances: that are paid for.
        created: whether it can be called; while SageMaker creates it, it cannot.
    """

    copies: int
    instances: int
    created: bool = True


async def look(aws: Aws, stack: Stack, component: str | None) -> Size:
    """Return the size of an endpoint now.

    Raises:
        ServerError: it has failed, or is being deleted.
        CloudError: there is no such endpoint, or AWS refuses.
    """
    try:
        endpoint = await ask(aws.sagemaker.describe_endpoint, EndpointName=stack.endpoint)
        status = endpoint["EndpointStatus"]
        if status in _BROKEN:
            raise _broken(stack.endpoint, status, endpoint.get("FailureReason"))
        instances = sum(variant.get("CurrentInstanceCount", 0) for variant in endpoint.get("ProductionVariants", ()))
        if component is None:
            return Size(instances, instances, status != "Creating")
        served = await ask(aws.sagemaker.describe_inference_component, InferenceComponentName=component)
    except CloudError as error:
        if error.code not in INVALID:
            raise
        message = f"There is no SageMaker endpoint {component or stack.endpoint}. Deploy it: hearth infra up sagemaker."
        raise CloudError(message, error.code) from None
    if served.get("InferenceComponentStatus") == "Failed":
        raise _broken(component, "Failed", served.get("FailureReason"))
    return Size(served.get("RuntimeConfig", {}).get("CurrentCopyCount", 0), instances, status != "Creating")


def _broken(name: str, status: str, why: str | None) -> ServerError:
    reason = (why or "SageMaker does not say why").rstrip(".")
    remedy = "Fix that, and deploy it again: hearth infra up sagemaker."
    return ServerError(f"The SageMaker endpoint {name} is {status}, and cannot be used: {reason}. {remedy}")


async def wake(
    client: OllamaClient, aws: Aws, stack: Stack, component: str | None, settings: SagemakerSettings
) -> Size:
    """Send requests until an instance answers. The first that finds none makes AWS scale out.

    The client's timeout is as long as a queued request may wait.

    Raises:
        CapacityError: no instance was ready in time.
        UnavailableError: the endpoint cannot be used.
    """
    deadline = time.monotonic() + settings.start_seconds
    why = "it is being created"
    while True:
        size = await look(aws, stack, component)
        if size.created:
            if not size.copies:
                emit(Progress(f"waiting for {client.url}, which starts an instance; that takes some minutes"))
            try:
                await client.version()
            except TransientError as error:
                why = str(error).rstrip(".")
            else:
                size = await look(aws, stack, component)
                # An instance may answer before SageMaker counts it.
                return Size(max(1, size.copies), max(1, size.instances))
        if time.monotonic() >= deadline:
            raise CapacityError(
                f"{client.url} got no instance within {settings.start_seconds:g} s: {why}. Look at its state and "
                "your quotas (hearth infra status sagemaker), or raise HEARTH_SAGEMAKER__START_SECONDS."
            )
        await asyncio.sleep(settings.poll_seconds)
