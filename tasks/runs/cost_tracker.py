"""What the servers of a run cost, and who observes their use: each document, and the batch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from tasks.backends.base import Allocation, MachineFacts
from tasks.core.events import Event
from tasks.reading.events import PageDone
from tasks.serving.warmup import Warmth


class UsageObserver(Protocol):
    """Observes the use of servers."""

    def warmed(self, allocation: Allocation, warmth: Warmth) -> None:
        """Take note that a server is warm."""
        ...

    def released(self, machine: MachineFacts, ended: str) -> None:
        """Take note that a machine was given back; `ended` says why before all was read, or is empty."""
        ...


class CostTracker:
    """Adds up what machines cost, and notifies the observers of servers."""

    def __init__(self) -> None:
        self._observers: list[UsageObserver] = []
        self._warm: list[tuple[Allocation, Warmth]] = []
        self._taken: list[Allocation] = []
        self._spent = 0.0

    @contextmanager
    def observed_by(self, observer: UsageObserver) -> Iterator[None]:
        """Notify an observer of servers that are or become warm, and of machines that are given back meanwhile."""
        for allocation, warmth in self._warm:
            observer.warmed(allocation, warmth)
        self._observers.append(observer)
        try:
            yield
        finally:
            self._observers.remove(observer)

    @property
    def usd(self) -> float:
        """What the machines have cost so far, USD, as far as their prices are known."""
        return self._spent + sum(held.machine.usd_so_far() for held in self._taken if held.machine is not None)

    @property
    def limited(self) -> bool:
        """Whether a budget of all runs limits any of the servers that are held."""
        return any(allocation.lease.has_budget for allocation in self._taken)

    async def over_budget(self) -> str | None:
        """Return why a budget of all runs admits no more pages on the servers that are held; None if it does."""
        for allocation in tuple(self._taken):
            if (why := await allocation.lease.over_budget()) is not None:
                return why
        return None

    def work_of(self, document: str) -> Callable[[Event], None]:
        """Return a listener that adds a document's page seconds to the servers that are held."""

        def note(event: Event) -> None:
            if isinstance(event, PageDone):
                for allocation in tuple(self._taken):
                    work = allocation.lease.work
                    work[document] = work.get(document, 0.0) + event.result.seconds

        return note

    def taken(self, allocation: Allocation) -> None:
        """Take note that a server was acquired."""
        self._taken.append(allocation)

    def warmed(self, allocation: Allocation, warmth: Warmth) -> None:
        """Take note that a server is warm, or that its pages have shown another number of slots."""
        self._warm = [*((other, known) for other, known in self._warm if other is not allocation), (allocation, warmth)]
        for observer in self._observers:
            observer.warmed(allocation, warmth)

    def released(self, allocation: Allocation, ended: str) -> None:
        """Take note that a server was given back; `ended` says why before all was read, or is empty."""
        self._warm = [(other, warmth) for other, warmth in self._warm if other is not allocation]
        self._taken = [other for other in self._taken if other is not allocation]
        if allocation.machine is None:
            return
        self._spent += allocation.machine.usd_so_far()
        for observer in self._observers:
            observer.released(allocation.machine, ended)
