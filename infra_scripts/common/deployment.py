"""What `hearth infra` asks of a stack, whichever it is, and what it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from infra_scripts.common.clients import Aws, Listener
    from infra_scripts.common.needs import Needs


@dataclass(frozen=True)
class PlanRow:
    """One thing that is made."""

    what: str
    name: str
    cost: str


@dataclass(frozen=True)
class CostTable:
    """What is paid for once the stack is used."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class StackPlan:
    """What `up` makes, and what it costs; found without asking AWS."""

    rows: tuple[PlanRow, ...]
    costs: CostTable
    notes: tuple[str, ...] = ()
    """Sentences below the tables: what the prices are of, and what they leave out."""


@dataclass(frozen=True)
class StackStatus:
    """What there is of a stack."""

    state: str | None
    """CloudFormation's word for it, such as UPDATE_COMPLETE; None if it is not deployed."""
    facts: tuple[tuple[str, str], ...] = ()
    """What is worth knowing, by name: what runs, what is paid for."""


@dataclass(frozen=True)
class StackRequest:
    """What CloudFormation is asked for."""

    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    """Of the stack; CloudFormation puts them on all that can be tagged."""
    linked_services: tuple[str, ...] = ()
    """The services whose service-linked roles must be there first, such as spot.amazonaws.com."""


@dataclass(frozen=True)
class Options:
    """What the command line says beyond the settings. A stack names those that it takes."""

    allow_from: tuple[str, ...] = ()
    images: bool = False

    def non_default(self) -> frozenset[str]:
        """The options that were given."""
        return frozenset(name for name, value in vars(self).items() if value)


class Deployment(Protocol):
    """A stack with its settings. All of it can be run again at any time.

    Every method may raise InfraError: the request is wrong, AWS refuses, or it did not get there.
    """

    supported_options: ClassVar[frozenset[str]]
    """The fields of Options that mean something to it; others are refused before it is asked anything."""

    @property
    def name(self) -> str:
        """Of the CloudFormation stack."""
        ...

    @property
    def teardown_summary(self) -> str:
        """All that `down` deletes, as a person is asked about it."""
        ...

    def plan(self) -> StackPlan:
        """What `up` makes and what it costs; AWS is not asked."""
        ...

    def template(self) -> str:
        """The CloudFormation template; AWS is not asked."""
        ...

    def needs(self) -> Needs:
        """What it needs of the account beside the resources of its template."""
        ...

    def request_for(self, aws: Aws) -> StackRequest:
        """What `up` would ask CloudFormation for; AWS is asked where it would be made, and nothing is made."""
        ...

    def request(self) -> StackRequest:
        """What `up` asks CloudFormation for, with stand-ins for what only AWS knows: network and image."""
        ...

    def up(self, aws: Aws, listener: Listener) -> tuple[str, ...]:
        """Create or update it; sentences that say what was done and how it is used."""
        ...

    def down(self, aws: Aws, listener: Listener, *, force: bool) -> tuple[str, ...]:
        """Delete it and all that it was paid for; sentences that say what was done, and what is kept and why.

        Raises:
            InUseError: it is in use, and `force` was not given.
            LeftoverError: something is left that costs money.
        """
        ...

    def status(self, aws: Aws) -> StackStatus:
        """What there is of it now."""
        ...
