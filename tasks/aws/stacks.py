"""The outputs of a deployed CloudFormation stack."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.aws.client import Aws, ask
from tasks.core.errors import CloudError


class StackOutputs(BaseModel):
    """What a run needs to know of a stack: a field for each output, whose alias is the output's key."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


S = TypeVar("S", bound=StackOutputs)


async def read_stack(aws: Aws, name: str, outputs: type[S], what: str, remedy: str, **known: str) -> S:
    """Read the outputs of a stack into a model. `known` has fields that are no outputs.

    Raises:
        CloudError: `what` the stack deploys is not there, or not by this version (`remedy` says how to deploy it); or
            AWS refuses.
    """
    try:
        stacks = await ask(aws.cloudformation.describe_stacks, StackName=name)
    except CloudError as error:
        if error.code == "ValidationError":
            message = f"{what} is not deployed in {aws.region}: no stack {name}. {remedy}"
            raise CloudError(message, error.code) from None
        raise
    stack = stacks["Stacks"][0]
    try:
        return outputs.model_validate({o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", ())} | known)
    except ValidationError as error:
        wrong = ", ".join(str(each["loc"][0]) for each in error.errors())
        raise CloudError(f"The stack {name} is incomplete ({stack['StackStatus']}; {wrong}). {remedy}") from None
