"""The common part of the stacks: their settings, and what follows from the request to CloudFormation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from infra_scripts.common.clients import explain_errors
from infra_scripts.common.cloudformation import Stack
from infra_scripts.common.deployment import Deployment, Options
from tasks.costs.price_book import Book, current_book

if TYPE_CHECKING:
    from infra_scripts.common.clients import Aws
    from infra_scripts.common.deployment import StackRequest
    from tasks.settings.settings import Settings


@dataclass(frozen=True)
class StackDeployment(Deployment):
    """A stack of a pool, with its settings and options."""

    settings: Settings
    options: Options
    region: str
    supported_options: ClassVar[frozenset[str]] = frozenset()

    @property
    def pool(self) -> str:
        """The name of the pool."""
        return self.settings.ec2.pool

    @property
    def book(self) -> Book:
        """The current price book."""
        return current_book(self.settings.home)

    def describe(self, aws: Aws) -> tuple[str | None, dict[str, str]]:
        """Return CloudFormation's state of the stack, None if it is not deployed, and its outputs."""
        with explain_errors():
            stack = Stack(aws, self.name)
            return stack.status(), stack.outputs()

    def template(self) -> str:
        """Return the CloudFormation template."""
        return self.request().template

    def request_for(self, aws: Aws) -> StackRequest:
        """Return the request of `up`; the same unless a part of it comes from AWS."""
        del aws
        return self.request()
