"""What a batch hears of its servers and documents, measured and passed on."""

import time
from contextvars import copy_context

from tasks.backends.base import Allocation, MachineFacts
from tasks.core.events import Event, PagesStarted, Progress, RunWarning, emit
from tasks.reading.events import LayersCounted, PageDone
from tasks.runs.run_stats import RunStats
from tasks.serving.warmup import Warmth
from tasks.text.slots import slots_text


class BatchObserver:
    """Observes a batch's servers, and forwards the pages and warnings of its documents to the batch's listeners."""

    def __init__(self, stats: RunStats) -> None:
        self._stats = stats
        self._context = copy_context()
        self._total = self._standing = 0
        self._sound = self._counted = 0

    def warmed(self, allocation: Allocation, warmth: Warmth) -> None:
        """Show and measure that a server is warm."""
        self._stats.warmed(allocation, warmth)
        slots = warmth.measured.slots * allocation.replicas.count
        emit(Progress(f"{allocation.endpoint.url} is warm with {slots_text(slots, warmth.slots_seen)}"))

    def released(self, machine: MachineFacts, ended: str) -> None:
        """Show and measure that a machine was released."""
        self._stats.released(machine, ended)
        emit(Progress(f"{machine.id} was released after {(time.time() - machine.since) / 60:.1f} min"))

    def layers(self, read: int) -> tuple[int, int]:
        """Return how many of how many pages have a sound text layer; of all pages `read`, if some were counted."""
        pages = max(read, self._counted)
        return round(self._sound * pages / self._counted) if self._counted else 0, pages

    def __call__(self, event: Event) -> None:
        """Measure an event of a document, and forward it; the pages of all documents are added up."""
        self._stats(event)
        match event:
            case PagesStarted(total=total, standing=standing, slots=slots):
                self._total, self._standing = self._total + total, self._standing + standing
                event = PagesStarted(self._total, self._standing, slots)
            case LayersCounted(sound=sound, pages=pages):
                self._sound, self._counted = self._sound + sound, self._counted + pages
                return
            case PageDone() | RunWarning():
                pass
            case _:
                return
        # Several documents and two threads emit at once, and only one may be in a context.
        self._context.copy().run(emit, event)
