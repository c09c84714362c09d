"""The stack that is looked at, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from infra_scripts.common.clients import Aws
from infra_scripts.common.deployment import StackRequest
from infra_scripts.common.needs import Needs
from tasks.core.finding import Finding


@dataclass(frozen=True)
class Case:
    """What the questions are about.

    Attributes:
        stack: as `hearth infra` calls it, such as ec2.
        name: of the CloudFormation stack.
        pool: whose it is.
        make_request: what `up` would ask CloudFormation for.
    """

    aws: Aws
    stack: str
    name: str
    pool: str
    needs: Needs
    make_request: Callable[[Aws], StackRequest]

    @cached_property
    def arn(self) -> str:
        """Whose credentials these are, as AWS says."""
        return self.aws.sts.get_caller_identity()["Arn"]

    @cached_property
    def account(self) -> str:
        """The account's number."""
        return self.arn.split(":")[4]

    @cached_property
    def request(self) -> StackRequest:
        """What `up` would ask CloudFormation for.

        Raises:
            InfraError: it could not even be put together: there is no network or no image, or AWS refuses to say.
        """
        return self.make_request(self.aws)


Look = Callable[[Case], Iterator[Finding]]
"""A kind of question; it may raise what boto3 raises."""
