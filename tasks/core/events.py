"""What a run says of itself while it goes: events, emitted by the steps, for a terminal, a log or an artifact."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from tasks.core.errors import FailureReason


class Event:
    """Something that happened in a run. Whoever emits it need not know who listens."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """Prefect took the run on; `url` shows it."""

    url: str


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """The run does something else now."""

    message: str


@dataclass(frozen=True, slots=True)
class RunWarning(Event):
    """Something the person should know, though the run goes on."""

    message: str


@dataclass(frozen=True, slots=True)
class Pulling(Event):
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
class StepDone(Event):
    """A server is one step nearer to its first page, after so many seconds in it."""

    step: WarmStep
    seconds: float


@dataclass(frozen=True, slots=True)
class PagesStarted(Event):
    """How many pages there are, how many stood already, and how many may be in flight at once."""

    total: int
    standing: int
    slots: int


@dataclass(frozen=True, slots=True)
class PageStarted(Event):
    """A page took a slot. Told on the slots' thread."""

    number: int


@dataclass(frozen=True, slots=True)
class PageRetried(Event):
    """An attempt at a page failed; another follows."""

    number: int
    reason: FailureReason


@dataclass(frozen=True, slots=True)
class SlotsChanged(Event):
    """How many slots of warm servers the run may use now."""

    slots: int


Listener = Callable[[Event], None]

_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("hearth_listeners", default=())


@contextmanager
def subscribe(listener: Listener) -> Iterator[None]:
    """Have a listener hear what is told in this context."""
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


@contextmanager
def subscribe_only(listener: Listener) -> Iterator[None]:
    """Have nobody but a listener hear what is told in this context; it may pass on what others should hear."""
    token = _listeners.set((listener,))
    try:
        yield
    finally:
        _listeners.reset(token)


def emit(event: Event) -> None:
    """Tell whoever listens."""
    for listener in _listeners.get():
        listener(event)


@contextmanager
def measure_step(step: WarmStep) -> Iterator[None]:
    """Tell how long a step took, when it has succeeded."""
    started = time.monotonic()
    yield
    emit(StepDone(step, time.monotonic() - started))
