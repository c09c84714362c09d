"""What `hearth infra up ec2` deployed, as a run finds it: the outputs of the pool's CloudFormation stack."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.aws.client import Aws
from tasks.aws.stacks import read_stack
from tasks.settings.ec2 import Access


@dataclass(frozen=True)
class Stack:
    """A pool's means.

    Attributes:
        pool: its name.
        launch_template, launch_template_version: what its machines are made from.
        table: of the leases.
        log_group: where its machines log.
        ami_parameter: SSM parameter that holds the image's id.
        subnets: where machines may be, one a zone at the most.
        access: how Ollama is reached.
        port: of Ollama, or of the proxy before it.
        slots: OLLAMA_NUM_PARALLEL of the machines.
        config: tells machines apart that were set up otherwise.
    """

    pool: str
    launch_template: str
    launch_template_version: str
    table: str
    log_group: str
    ami_parameter: str
    subnets: tuple[str, ...]
    access: Access
    port: int
    slots: int
    config: str


async def find_stack(aws: Aws, pool: str) -> Stack:
    """Ask CloudFormation.

    Raises:
        CloudError: the pool is not deployed, or not by this version.
    """
    name = f"hearth-{pool}"
    remedy = "Deploy it: hearth infra up ec2 --allow-from <your network, such as 10.0.0.0/16>."

    def read(outputs: dict[str, str]) -> Stack:
        return Stack(
            pool=pool,
            launch_template=outputs["LaunchTemplateId"],
            launch_template_version=outputs["LaunchTemplateVersion"],
            table=outputs["TableName"],
            log_group=outputs["LogGroupName"],
            ami_parameter=outputs["AmiParameter"],
            subnets=tuple(outputs["Subnets"].split(",")),
            access=Access(outputs["Access"]),
            port=int(outputs["Port"]),
            slots=int(outputs["Slots"]),
            config=outputs["Config"],
        )

    return await read_stack(aws, name, f"The pool {pool!r}", remedy, read)
