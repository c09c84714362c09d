"""The common part of the stacks: their settings, and what follows from the request to CloudFormation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

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

    def template(self) -> str:
        """Return the CloudFormation template."""
        return self.request().template

    def request_for(self, aws: Aws) -> StackRequest:
        """Return the request of `up`; the same unless AWS has to be asked for a part of it."""
        del aws
        return self.request()
