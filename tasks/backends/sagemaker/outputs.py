"""The outputs of the CloudFormation stack that `hearth infra up sagemaker` deploys."""

import json
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from tasks.aws.stacks import StackOutputs
from tasks.core.errors import ModelError


def _models(value: Any) -> Any:  # noqa: ANN401 - pydantic checks what comes out
    models = json.loads(value) if isinstance(value, str) else value
    return {model: component or None for model, component in models.items()}


class Stack(StackOutputs):
    """A deployed endpoint.

    Attributes:
        models: that it serves, and the inference component of each; None where it has none.
        bucket: of requests and responses; None if the endpoint responds in real time.
        table: of the slots' ledgers.
        slots: OLLAMA_NUM_PARALLEL of each copy.
        min_copies: that stay when the endpoint is idle.
    """

    named: ClassVar = "hearth-sagemaker-{pool}"
    what: ClassVar = "The SageMaker endpoint of the pool {pool}"
    remedy: ClassVar = "Deploy it: hearth infra up sagemaker."

    endpoint: str = Field(alias="EndpointName")
    models: Annotated[dict[str, str | None], BeforeValidator(_models)]
    bucket: str | None = Field(None, alias="BucketName")
    table: str = Field(alias="TableName")
    instance_type: str
    slots: int
    min_copies: int

    @property
    def ends(self) -> str:
        """What becomes of its instances when it is idle, in a few words."""
        if self.min_copies:
            return "goes on running, and costing, until hearth infra down sagemaker"
        return "has no instance any more some 15 to 25 min after its last request: AWS scales it in"

    def component(self, model: str) -> str | None:
        """Return the inference component of a model, or None if the endpoint has no components.

        Raises:
            ModelError: the endpoint does not serve it.
        """
        if model not in self.models:
            raise ModelError(
                f"The SageMaker endpoint {self.endpoint} does not serve {model!r}, but {', '.join(self.models)}. "
                "Choose with --model, or name it in HEARTH_SAGEMAKER_STACK__MODELS and deploy again."
            )
        return self.models[model]
