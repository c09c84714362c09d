"""The outputs of a pool's CloudFormation stack, which `hearth infra up ec2` deploys."""

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from tasks.aws.stacks import StackOutputs
from tasks.settings.ec2 import Access


def _split(value: Any) -> Any:  # noqa: ANN401 - pydantic checks what comes out
    return value.split(",") if isinstance(value, str) else value


class Stack(StackOutputs):
    """A pool's stack.

    Attributes:
        ami_parameter: SSM parameter with the image's id.
        subnets: for machines, one a zone at most.
        port: of Ollama, or of the proxy before it.
        slots: OLLAMA_NUM_PARALLEL of the machines.
        config: differs between machines that were set up differently.
    """

    named: ClassVar = "hearth-{pool}"
    what: ClassVar = "The pool {pool}"
    remedy: ClassVar = "Deploy it: hearth infra up ec2 --allow-from <your network, such as 10.0.0.0/16>."

    pool: str
    launch_template: str = Field(alias="LaunchTemplateId")
    launch_template_version: str
    table: str = Field(alias="TableName")
    log_group: str = Field(alias="LogGroupName")
    ami_parameter: str
    subnets: Annotated[tuple[str, ...], BeforeValidator(_split)]
    access: Access
    port: int
    slots: int
    config: str
