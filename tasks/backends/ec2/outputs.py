"""The outputs of a pool's CloudFormation stack, which `hearth infra up ec2` deploys."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from tasks.aws.client import Aws
from tasks.aws.stacks import StackOutputs, read_stack
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

    pool: str
    launch_template: str = Field(alias="LaunchTemplateId")
    launch_template_version: str = Field(alias="LaunchTemplateVersion")
    table: str = Field(alias="TableName")
    log_group: str = Field(alias="LogGroupName")
    ami_parameter: str = Field(alias="AmiParameter")
    subnets: Annotated[tuple[str, ...], BeforeValidator(_split)] = Field(alias="Subnets")
    access: Access = Field(alias="Access")
    port: int = Field(alias="Port")
    slots: int = Field(alias="Slots")
    config: str = Field(alias="Config")


async def find_stack(aws: Aws, pool: str) -> Stack:
    """Read the stack of a pool.

    Raises:
        CloudError: the pool is not deployed, or not by this version; or AWS refuses.
    """
    remedy = "Deploy it: hearth infra up ec2 --allow-from <your network, such as 10.0.0.0/16>."
    return await read_stack(aws, f"hearth-{pool}", Stack, f"The pool {pool!r}", remedy, pool=pool)
