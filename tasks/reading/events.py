"""Events of a run that speak of its pages, its servers and its end."""

from __future__ import annotations

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
class ServerTaken(Event):
    """A server was acquired; it may not be warm yet."""

    allocation: Allocation


@dataclass(frozen=True, slots=True)
class ServerReleased(Event):
    """A server was given back; `told` says what becomes of it."""

    allocation: Allocation
    message: str


Outcome = Manifest | Report | HearthError
"""What a run ends with: its account, or why it could not go on."""


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    """Nothing more will be read, and the server was given back; Prefect may not know yet."""

    outcome: Outcome
