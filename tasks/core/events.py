"""What a run tells of itself while it goes: events, told by the steps, heard by a terminal, a log or an artifact."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from tasks.core.errors import FailureReason, HearthError
from tasks.results.manifest import Manifest, PageResult
from tasks.results.report import Report

if TYPE_CHECKING:
    from tasks.backends.base import Endpoint


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Prefect took the run on; `url` shows it."""

    url: str


@dataclass(frozen=True, slots=True)
class Stage:
    """The run does something else now."""

    what: str


@dataclass(frozen=True, slots=True)
class Caution:
    """Something the person should know, though the run goes on."""

    what: str


@dataclass(frozen=True, slots=True)
class Pulling:
    """The server downloads the model; both in bytes, `total` 0 where it is not known."""

    step: str
    completed: int
    total: int


class WarmStep(StrEnum):
    """What a server goes through before its first page."""

    ACQUIRE = "acquire"
    """Found, started or launched."""
    ANSWER = "answer"
    PULL = "pull"
    """The model's download."""
    LOAD = "load"
    MEASURE = "measure"
    """Of how many requests it serves at once."""


@dataclass(frozen=True, slots=True)
class StepDone:
    """A server is one step nearer to its first page, after so many seconds in it."""

    step: WarmStep
    seconds: float


@dataclass(frozen=True, slots=True)
class PagesStart:
    """How many pages there are, how many stood already, and how many may be in flight at once."""

    total: int
    standing: int
    slots: int


@dataclass(frozen=True, slots=True)
class PageStarted:
    """A page took a slot. Told on the slots' thread."""

    number: int


@dataclass(frozen=True, slots=True)
class PageRetried:
    """An attempt at a page failed; another follows."""

    number: int
    reason: FailureReason


@dataclass(frozen=True, slots=True)
class PageDone:
    """A page was stored."""

    result: PageResult


@dataclass(frozen=True, slots=True)
class ServerTaken:
    """A server was acquired; it may not be warm yet."""

    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class SlotsChanged:
    """How many slots of warm servers the run may use now."""

    slots: int


@dataclass(frozen=True, slots=True)
class ServerReleased:
    """A server was given back; `told` says what becomes of it."""

    endpoint: Endpoint
    told: str


Outcome = Manifest | Report | HearthError
"""What a run ends with: its account, or why it could not go on."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """Nothing more will be read, and the server was given back; Prefect may not know yet."""

    outcome: Outcome


Event = (
    RunStarted
    | Stage
    | Caution
    | Pulling
    | StepDone
    | PagesStart
    | PageStarted
    | PageRetried
    | PageDone
    | ServerTaken
    | SlotsChanged
    | ServerReleased
    | RunEnded
)
Listener = Callable[[Event], None]

_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("hearth_listeners", default=())


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Have a listener hear what is told in this context."""
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


@contextmanager
def heard_only_by(listener: Listener) -> Iterator[None]:
    """Have nobody but a listener hear what is told in this context; it may pass on what others should hear."""
    token = _listeners.set((listener,))
    try:
        yield
    finally:
        _listeners.reset(token)


def tell(event: Event) -> None:
    """Tell whoever listens."""
    for listener in _listeners.get():
        listener(event)


@contextmanager
def timed(step: WarmStep) -> Iterator[None]:
    """Tell how long a step took, when it has succeeded."""
    started = time.monotonic()
    yield
    tell(StepDone(step, time.monotonic() - started))
