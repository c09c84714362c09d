"""What a batch hears of its documents and their servers: told, and measured, once."""

from __future__ import annotations

import time
from contextvars import Context
from dataclasses import dataclass

from tasks.backends.base import Allocation, MachineFacts
from tasks.core.events import Event, PagesStarted, Progress, RunWarning, emit
from tasks.reading.events import PageDone
from tasks.runs.run_stats import RunStats
from tasks.serving.warmup import Warmth


@dataclass
class BatchObserver:
    """The batch's own account of servers: what the documents share is told, and measured, once."""

    meter: RunStats

    def warmed(self, allocation: Allocation, warmth: Warmth) -> None:
        """See `Books`."""
        self.meter.warmed(allocation, warmth)
        emit(Progress(f"{allocation.endpoint.url} is warm with {warmth.measured.slots * allocation.parts.count} slots"))

    def released(self, machine: MachineFacts, ended: str) -> None:
        """See `Books`."""
        self.meter.released(machine, ended)
        emit(Progress(f"{machine.id} was given back after {(time.time() - machine.since) / 60:.1f} min"))


@dataclass
class Relay:
    """Passes on to the batch's listeners what matters of its documents, their pages added up."""

    batch: Context
    meter: RunStats
    total: int = 0
    standing: int = 0

    def __call__(self, event: Event) -> None:
        """See `Listener`."""
        self.meter(event)
        match event:
            case PagesStarted(total=total, standing=standing, slots=slots):
                self.total, self.standing = self.total + total, self.standing + standing
                event = PagesStarted(self.total, self.standing, slots)
            case PageDone() | RunWarning():
                pass
            case _:
                return
        # Told of from several documents and two threads at once; a context is entered by one at a time.
        self.batch.copy().run(emit, event)
