"""What a CloudFormation stack says of itself to runs: its outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from tasks.aws.client import Aws, ask
from tasks.core.errors import CloudError

if TYPE_CHECKING:
    pass

T = TypeVar("T")


async def read_stack(aws: Aws, name: str, what: str, remedy: str, read: Callable[[dict[str, str]], T]) -> T:
    """What a CloudFormation stack deployed, by its outputs.

    Args:
        aws: asks.
        name: of the stack.
        what: it is, for whoever has not deployed it.
        remedy: how that is done.
        read: makes something of the outputs; raises KeyError or ValueError if one is missing, or not as it should be.

    Raises:
        CloudError: it is not deployed, or not by this version; or AWS refuses.
    """
    try:
        stacks = await ask(aws.cloudformation.describe_stacks, StackName=name)
    except CloudError as error:
        if error.code == "ValidationError":
            told = f"{what} is not deployed in {aws.region}: no stack {name}. {remedy}"
            raise CloudError(told, error.code) from None
        raise
    stack = stacks["Stacks"][0]
    try:
        return read({one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", ())})
    except (KeyError, ValueError) as error:
        raise CloudError(f"The stack {name} is incomplete ({stack['StackStatus']}; {error}). {remedy}") from None
