"""The interface between `hearth infra` and its stacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from infra_scripts.common.clients import Aws, Listener
    from infra_scripts.common.needs import Needs


@dataclass(frozen=True)
class PlanRow:
    """A resource, or several of a kind, that a deployment creates."""

    what: str
    name: str
    cost: str


@dataclass(frozen=True)
class CostTable:
    """A table of the cost of using the stack."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class StackPlan:
    """The resources that `up` creates, and their cost; AWS is not asked."""

    rows: tuple[PlanRow, ...]
    costs: CostTable
    notes: tuple[str, ...] = ()
    """Sentences about the prices, shown below the tables."""


@dataclass(frozen=True)
class StackStatus:
    """The state of a stack."""

    state: str | None
    """CloudFormation's status, such as UPDATE_COMPLETE; None if the stack is not deployed."""
    facts: tuple[tuple[str, str], ...] = ()
    """Names and values of interest, such as the machines that run and are paid for."""


@dataclass(frozen=True)
class StackRequest:
    """A request to CloudFormation."""

    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    """Tags of the stack; CloudFormation adds them to all taggable resources."""
    linked_services: tuple[str, ...] = ()
    """Services whose service-linked roles must exist first, such as spot.amazonaws.com."""


@dataclass(frozen=True)
class Options:
    """The options of the command line. A stack names those that it supports."""

    allow_from: tuple[str, ...] = ()
    images: bool = False

    def non_default(self) -> frozenset[str]:
        """Return the names of the options that are set."""
        return frozenset(name for name, value in vars(self).items() if value)


class Deployment(Protocol):
    """A stack with its settings. Every method can be called again at any time.

    Every method may raise InfraError: the request is wrong, AWS refused it, or AWS did not finish.
    """

    supported_options: ClassVar[frozenset[str]]
    """The fields of Options that the stack supports; others are refused."""

    @property
    def name(self) -> str:
        """The name of the CloudFormation stack."""
        ...

    @property
    def teardown_summary(self) -> str:
        """Everything that `down` deletes, for the question to the user."""
        ...

    def plan(self) -> StackPlan:
        """Return the resources that `up` creates, and their cost; AWS is not asked."""
        ...

    def template(self) -> str:
        """Return the CloudFormation template; AWS is not asked."""
        ...

    def needs(self) -> Needs:
        """Return the requirements on the account besides the template's resources."""
        ...

    def request_for(self, aws: Aws) -> StackRequest:
        """Return the request of `up` in this account; AWS is asked for network and image, and nothing is created."""
        ...

    def request(self) -> StackRequest:
        """Return the request of `up` with stand-ins for network and image."""
        ...

    def up(self, aws: Aws, listener: Listener) -> tuple[str, ...]:
        """Create or update the stack; return sentences about the result and the next step."""
        ...

    def down(self, aws: Aws, listener: Listener, *, force: bool) -> tuple[str, ...]:
        """Delete the stack and everything that costs money; return sentences about the result and what is kept.

        Raises:
            InUseError: the stack is in use, and `force` is False.
            LeftoverError: something that costs money is left.
        """
        ...

    def status(self, aws: Aws) -> StackStatus:
        """Return the current state."""
        ...
