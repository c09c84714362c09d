"""Correct the measured number of requests that a server works on at once, by a run's own pages."""

from dataclasses import replace

from tasks.inference.schema import Answer
from tasks.serving.parallelism import Served, at_once_while_some_wait, served_in
from tasks.slots.ledger import Measured

_LEAST_PAGES = 8
_WAITING = 0.5
"""If pages wait in the server for a larger part of the time, it works on fewer than are sent."""


class ConcurrencyTracker:
    """Judges several pages at a time, of a run that is alone on its server: pages of other runs are not seen.

    If the number that the warm-up measured may be too small, one more is sent at a time, until pages wait in the
    server; at most as many as are requested.
    """

    def __init__(self, measured: Measured, requested: int) -> None:
        self._grows = not measured.sure or measured.busy
        self._requested = requested
        self._too_many = requested + 1
        self._spans: list[Served] = []
        self._overhead: float | None = None

    def note(self, answer: Answer, ended: float, slots: int, *, alone: bool, full: bool) -> int | None:
        """Take a page into account, whose response arrived at `ended`, seconds since the epoch.

        The server is thought to work on `slots` requests at once, `full` if so many are in flight on it; a run is
        `alone` if no other uses the server.

        Returns:
            How many requests to send at once from now on; None for as many as before.
        """
        span, queue = served_in(answer, ended), answer.timing.queue
        if span is not None:
            # A server spends some time on a page beside working on it; the first pages did not wait.
            self._overhead = queue if self._overhead is None else min(queue, self._overhead)
        if span is None or not alone or not full:
            self._spans.clear()
            return None
        self._spans.append(span)
        if len(self._spans) < max(_LEAST_PAGES, 4 * slots):
            return None
        at_once = self._judged()
        self._spans.clear()
        if at_once is not None:
            self._too_many = min(self._too_many, slots) if at_once < slots else self._too_many
            return at_once if at_once < slots else None
        return slots + 1 if self._grows and slots + 1 < self._too_many else None

    def _judged(self) -> int | None:
        """Return how many were worked on while some waited; None if hardly any did."""
        overhead = self._overhead or 0.0
        spans = [
            span if span.arrived is None else replace(span, arrived=min(span.start, span.arrived + overhead))
            for span in self._spans
        ]
        # Which pages were worked on is known from when the first of these ended until the last may have begun.
        begin = min(span.end for span in spans)
        end = max(span.end for span in spans) - max(span.end - span.start for span in spans)
        return at_once_while_some_wait(spans, _WAITING * max(0.0, end - begin), (begin, end))
