"""What the pages of a run show of a server's slots, passed on as it changes."""

from tasks.backends.base import Allocation
from tasks.core.events import RunWarning, emit
from tasks.runs.cost_tracker import CostTracker
from tasks.serving.server_pool import Server
from tasks.serving.warmup import Warmth


class SlotReports:
    """Reports how many slots a server has, and how many of them pages have shown.

    Args:
        allocation: of the server.
        warmth: what was known when it was warm, and reported then.
        server: it shows the slots.
        costs: receives what is known.
    """

    def __init__(self, allocation: Allocation, warmth: Warmth, server: Server, costs: CostTracker) -> None:
        self._allocation, self._warmth, self._server, self._costs = allocation, warmth, server, costs

    def report(self) -> None:
        """Report what has changed since the last time, and warn if there are fewer slots than were thought.

        A larger number that is only being tried is not reported.
        """
        before, server = self._warmth, self._server
        share, concurrency = server.share, server.concurrency
        is_tried = concurrency is not None and not concurrency.settled and before.measured.slots < share.measured.slots
        measured = before.measured if is_tried else share.measured
        known = before.shown(measured, server.seen.most, self._allocation.replicas.count)
        if known == before:
            return
        self._warmth = known
        self._costs.warmed(self._allocation, known)
        if known.measured.slots != before.measured.slots and known.shortfall:
            emit(RunWarning(known.shortfall))
