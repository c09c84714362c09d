"""The stack that is looked at, and where."""

from __future__ import annotations

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
    _clients: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def arn(self) -> str:
        """Whose credentials these are, as AWS says."""
        return self.aws.sts.get_caller_identity()["Arn"]

    @cached_property
    def account(self) -> str:
        """The account's number."""
        return self.arn.split(":")[4]

    def client(self, service: str) -> Any:  # noqa: ANN401 - of whichever service
        """Return a client; making one takes a while, and one is asked often."""
        if service not in self._clients:
            make: Any = self.aws.session.client  # its overloads know no service that is not written down
            self._clients[service] = make(service, config=self.aws.config)
        return self._clients[service]

    @cached_property
    def request(self) -> StackRequest:
        """What `up` would ask CloudFormation for.

        Raises:
            InfraError: it could not even be put together: there is no network or no image, or AWS refuses to say.
        """
        return self.make_request(self.aws)


Look = Callable[[Case], Iterator[Finding]]
"""A kind of question; it may raise what boto3 raises."""
