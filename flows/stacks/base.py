"""The common part of the stacks: their settings, and what follows from the request to CloudFormation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from infra_scripts.common.clients import explain_errors
from infra_scripts.common.cloudformation import Stack
from infra_scripts.common.deployment import Options
from tasks.costs.price_book import Book, current_book

if TYPE_CHECKING:
    from infra_scripts.common.clients import Aws, Listener
    from infra_scripts.common.deployment import StackPlan, StackRequest, StackStatus
    from infra_scripts.common.needs import Needs
    from tasks.settings.settings import Settings


@dataclass(frozen=True)
class Deployment(ABC):
    """A stack of a pool, with its settings and options. Every method can be called again at any time.

    Every method may raise InfraError: the request is wrong, AWS refused it, or AWS did not finish.
    """

    settings: Settings
    options: Options
    region: str
    supported_options: ClassVar[frozenset[str]] = frozenset()
    """The fields of Options that the stack supports; others are refused."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the CloudFormation stack."""

    @property
    @abstractmethod
    def teardown_summary(self) -> str:
        """Everything that `down` deletes, for a question to the user."""

    @abstractmethod
    def plan(self) -> StackPlan:
        """Return the resources that `up` creates, and their cost; AWS is not asked."""

    @abstractmethod
    def needs(self) -> Needs:
        """Return the requirements on the account besides the template's resources."""

    @abstractmethod
    def request(self, aws: Aws | None = None) -> StackRequest:
        """Return the request of `up`, with the network and image that AWS names; without clients, stand-ins."""

    @abstractmethod
    def up(self, aws: Aws, listener: Listener) -> tuple[str, ...]:
        """Create or update the stack; return sentences about the result and the next step."""

    @abstractmethod
    def down(self, aws: Aws, listener: Listener, *, force: bool) -> tuple[str, ...]:
        """Delete the stack and everything that costs money; return sentences about the result and what is kept.

        Raises:
            InUseError: the stack is in use, and `force` is False.
            LeftoverError: something that costs money is left.
        """

    @abstractmethod
    def status(self, aws: Aws) -> StackStatus:
        """Return the current state."""

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
        """Return the CloudFormation template; AWS is not asked."""
        return self.request().template
