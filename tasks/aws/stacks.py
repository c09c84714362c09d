"""The outputs of a deployed CloudFormation stack."""

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_pascal

from tasks.aws.client import Aws, ask
from tasks.core.errors import CloudError


class StackOutputs(BaseModel):
    """The outputs of a pool's stack, a field each, such as Url or ImageTag.

    Attributes:
        named: name of the stack, with {pool} for the pool's.
        what: the thing that it deploys, likewise.
        remedy: the sentence that says how to deploy it.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, alias_generator=to_pascal)

    named: ClassVar[str]
    what: ClassVar[str]
    remedy: ClassVar[str]

    @classmethod
    async def find(cls, aws: Aws, pool: str) -> Self:
        """Read the outputs of the stack of a pool.

        Raises:
            CloudError: it is not deployed, or not by this version; or AWS refuses.
        """
        name, what = cls.named.format(pool=pool), cls.what.format(pool=repr(pool))
        try:
            stacks = await ask(aws.cloudformation.describe_stacks, StackName=name)
        except CloudError as error:
            if error.code == "ValidationError":
                message = f"{what} is not deployed in {aws.region}: no stack {name}. {cls.remedy}"
                raise CloudError(message, error.code) from None
            raise
        stack = stacks["Stacks"][0]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}
        try:
            return cls.model_validate({**outputs, "pool": pool})
        except ValidationError as error:
            wrong = ", ".join(str(each["loc"][0]) for each in error.errors())
            message = f"The stack {name} is incomplete ({stack['StackStatus']}; {wrong}). {cls.remedy}"
            raise CloudError(message) from None
