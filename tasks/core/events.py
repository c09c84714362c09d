"""Events of a run, emitted by its steps for a terminal, a log or an artifact."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum

from tasks.core.errors import FailureReason


class Event:
    """Something that happened in a run."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """Prefect started the run, which `url` shows."""

    url: str


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """The run entered its next step."""

    message: str


@dataclass(frozen=True, slots=True)
class RunWarning(Event):
    """The run goes on, but a person should know something."""

    message: str


@dataclass(frozen=True, slots=True)
class Pulling(Event):
    """The server downloads the model: bytes of a step, `total` 0 if unknown."""

    step: str
    completed: int
    total: int


class WarmStep(StrEnum):
    """The steps of a server before its first page."""

    ACQUIRE = "acquire"
    """It is found, started or launched."""
    ANSWER = "answer"
    PULL = "pull"
    """It downloads the model."""
    LOAD = "load"


@dataclass(frozen=True, slots=True)
class StepDone(Event):
    """A server finished a step."""

    step: WarmStep
    seconds: float


@dataclass(frozen=True, slots=True)
class PagesStarted(Event):
    """The run begins its pages: the total, those that were stored already, and the most in flight at once."""

    total: int
    standing: int
    slots: int


@dataclass(frozen=True, slots=True)
class PageStarted(Event):
    """A page took a slot. Emitted on the slots' thread."""

    number: int


@dataclass(frozen=True, slots=True)
class PageRetried(Event):
    """An attempt at a page failed; another follows."""

    number: int
    reason: FailureReason


@dataclass(frozen=True, slots=True)
class SlotsChanged(Event):
    """The run may now use this many slots of warm servers."""

    slots: int


Listener = Callable[[Event], None]

_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("hearth_listeners", default=())


@contextmanager
def subscribe(listener: Listener, *, alone: bool = False) -> Iterator[None]:
    """Pass the events of this context to a listener; if `alone`, the outer ones receive only what it passes on."""
    token = _listeners.set((listener,) if alone else (*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


def emit(event: Event) -> None:
    """Pass an event to the listeners of this context."""
    for listener in _listeners.get():
        listener(event)


@contextmanager
def measure_step(step: WarmStep) -> Iterator[None]:
    """Emit how long a step took, if it succeeds."""
    started = time.monotonic()
    yield
    emit(StepDone(step, time.monotonic() - started))
