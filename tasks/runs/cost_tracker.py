"""Who keeps account of the servers of a run: each document of its own, and all together what the machines cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from tasks.backends.base import Allocation, MachineFacts
from tasks.core.events import Event
from tasks.reading.events import PageDone
from tasks.serving.warmup import Warmth


class UsageObserver(Protocol):
    """Whoever keeps account of servers."""

    def warmed(self, allocation: Allocation, warmth: Warmth) -> None:
        """A server is warm."""
        ...

    def released(self, machine: MachineFacts, ended: str) -> None:
        """A machine was given back; `ended` says why before all was read, or is empty."""
        ...


class CostTracker:
    """Tells all who keep account, and knows what the machines have cost."""

    def __init__(self) -> None:
        self._books: list[UsageObserver] = []
        self._warm: list[tuple[Allocation, Warmth]] = []
        self._taken: list[Allocation] = []
        self._spent = 0.0

    @contextmanager
    def observed_by(self, books: UsageObserver) -> Iterator[None]:
        """Have an account kept of what is and what will be warm, and of the machines that are given back meanwhile."""
        for allocation, warmth in self._warm:
            books.warmed(allocation, warmth)
        self._books.append(books)
        try:
            yield
        finally:
            self._books.remove(books)

    @property
    def usd(self) -> float:
        """What the machines have cost so far, as far as their prices are known."""
        return self._spent + sum(one.machine.usd_so_far() for one in self._taken if one.machine is not None)

    @property
    def limited(self) -> bool:
        """Whether what all have spent limits any of the servers that are held."""
        return any(allocation.lease.has_budget for allocation in self._taken)

    async def over_budget(self) -> str | None:
        """Why no page may be begun any more on the servers that are held, for what all have spent on them."""
        for allocation in tuple(self._taken):
            if (why := await allocation.lease.over_budget()) is not None:
                return why
        return None

    def work_of(self, document: str) -> Callable[[Event], None]:
        """A listener that notes a document's page seconds with the servers that are held."""

        def note(event: Event) -> None:
            if isinstance(event, PageDone):
                for allocation in tuple(self._taken):
                    work = allocation.lease.work
                    work[document] = work.get(document, 0.0) + event.result.seconds

        return note

    def taken(self, allocation: Allocation) -> None:
        """A server was acquired."""
        self._taken.append(allocation)

    def warmed(self, allocation: Allocation, warmth: Warmth) -> None:
        """It is warm."""
        self._warm.append((allocation, warmth))
        for books in self._books:
            books.warmed(allocation, warmth)

    def released(self, allocation: Allocation, ended: str) -> None:
        """It was given back."""
        self._warm = [(other, warmth) for other, warmth in self._warm if other is not allocation]
        self._taken = [other for other in self._taken if other is not allocation]
        if allocation.machine is None:
            return
        self._spent += allocation.machine.usd_so_far()
        for books in self._books:
            books.released(allocation.machine, ended)
