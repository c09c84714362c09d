"""Values that `hearth infra` and its stacks exchange: plans, requests to CloudFormation, states and options."""

from collections.abc import Mapping
from dataclasses import dataclass


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
