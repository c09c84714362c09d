"""What `hearth infra up sagemaker` deployed, as a run finds it: the outputs of its CloudFormation stack."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tasks.aws.client import Aws
from tasks.aws.stacks import read_stack
from tasks.core.errors import ModelError


@dataclass(frozen=True)
class Stack:
    """A deployed endpoint.

    Attributes:
        endpoint: its name.
        models: that it serves, and the inference component of each; None where it has none.
        bucket: of requests and answers; None if the endpoint answers in real time.
        table: of the slots' ledgers.
        instance_type: such as ml.g4dn.xlarge.
        slots: OLLAMA_NUM_PARALLEL of each copy.
        min_copies: that are kept when nobody asks.
    """

    endpoint: str
    models: dict[str, str | None]
    bucket: str | None
    table: str
    instance_type: str
    slots: int
    min_copies: int

    @property
    def ends(self) -> str:
        """What becomes of its instances when nobody asks, in a few words."""
        if self.min_copies:
            return "goes on running, and costing, until hearth infra down sagemaker"
        return "has no instance any more some 15 to 25 min after its last request: AWS scales it in"

    def component(self, model: str) -> str | None:
        """The inference component of a model; None if the endpoint has no components.

        Raises:
            ModelError: the endpoint does not serve it.
        """
        if model not in self.models:
            raise ModelError(
                f"The SageMaker endpoint {self.endpoint} does not serve {model!r}, but {', '.join(self.models)}. "
                "Choose with --model, or name it in HEARTH_SAGEMAKER_STACK__MODELS and deploy again."
            )
        return self.models[model]


async def find_stack(aws: Aws, pool: str) -> Stack:
    """Ask CloudFormation.

    Raises:
        CloudError: it is not deployed, or not by this version.
    """
    name = f"hearth-sagemaker-{pool}"
    remedy = "Deploy it: hearth infra up sagemaker."

    def read(outputs: dict[str, str]) -> Stack:
        models: dict[str, str] = json.loads(outputs["Models"])
        return Stack(
            endpoint=outputs["EndpointName"],
            models={model: component or None for model, component in models.items()},
            bucket=outputs.get("BucketName"),
            table=outputs["TableName"],
            instance_type=outputs["InstanceType"],
            slots=int(outputs["Slots"]),
            min_copies=int(outputs["MinCopies"]),
        )

    return await read_stack(aws, name, f"The SageMaker endpoint of the pool {pool!r}", remedy, read)
