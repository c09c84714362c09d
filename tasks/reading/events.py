"""Events about a run's pages, servers and end."""

from dataclasses import dataclass

from tasks.backends.base import Allocation
from tasks.core.errors import HearthError
from tasks.core.events import Event
from tasks.results.manifest import Manifest
from tasks.results.page import PageResult
from tasks.results.report import Report


@dataclass(frozen=True, slots=True)
class PageDone(Event):
    """A page was stored."""

    result: PageResult


@dataclass(frozen=True, slots=True)
class LayersCounted(Event):
    """An event: so many of the pages that a model has read have a sound text layer."""

    sound: int
    pages: int


@dataclass(frozen=True, slots=True)
class ServerTaken(Event):
    """A server was acquired; it may not be warm yet."""

    allocation: Allocation


@dataclass(frozen=True, slots=True)
class ServerReleased(Event):
    """A server was released; `message` says what happens to it."""

    allocation: Allocation
    message: str


Outcome = Manifest | Report | HearthError
"""The end of a run: its manifest or report, or its error."""


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """The run has ended and released its server; Prefect may not know yet."""

    outcome: Outcome
