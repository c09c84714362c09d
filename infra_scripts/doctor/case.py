"""The stack that is checked, and its account and region."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from infra_scripts.common.clients import Aws
from infra_scripts.common.deployment import StackRequest
from infra_scripts.common.needs import Needs
from tasks.core.finding import Finding


@dataclass(frozen=True)
class Case:
    """The stack that is checked.

    Attributes:
        stack: name in `hearth infra`, such as ec2.
        name: name of the CloudFormation stack.
        pool: name of the pool.
        make_request: returns the request of `up` to CloudFormation.
    """

    aws: Aws
    stack: str
    name: str
    pool: str
    needs: Needs
    make_request: Callable[[Aws], StackRequest]
    _clients: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def arn(self) -> str:
        """ARN of the credentials' user or role session."""
        return self.aws.sts.get_caller_identity()["Arn"]

    @cached_property
    def account(self) -> str:
        """The account's number."""
        return self.arn.split(":")[4]

    def client(self, service: str) -> Any:  # noqa: ANN401 - of whichever service
        """Return a client, which is created once because that takes a while."""
        if service not in self._clients:
            make: Any = self.aws.session.client  # its overloads accept only literal names
            self._clients[service] = make(service, config=self.aws.config)
        return self._clients[service]

    @cached_property
    def request(self) -> StackRequest:
        """The request of `up` to CloudFormation.

        Raises:
            InfraError: there is no network or no image, or AWS refused a request.
        """
        return self.make_request(self.aws)


Look = Callable[[Case], Iterator[Finding]]
"""A check; it may raise boto3's errors."""
