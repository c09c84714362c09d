"""Correct the number of requests that a server is taken to work on at once, by a run's own pages."""

from dataclasses import replace
from statistics import mean

from tasks.inference.schema import Answer
from tasks.serving.parallelism import Served, at_once_while_some_wait, served_in
from tasks.slots.ledger import Measured

_LEAST_PAGES = 8
_FIRST_PAGES = 3
_FIRST_LENGTHS = 0.5
"""Times the longest page of which the first pages must tell."""
_WAITING = 0.5
"""If pages wait in the server for a larger part of the time, it works on fewer than are sent."""
_LEAST_WAIT, _MOST_WAIT = 0.8, 1.3
"""Pages wait for about as long as the missing slots explain; if not, the server, or its machine, is busy otherwise."""


class ConcurrencyTracker:
    """Judges several pages at a time, of a run that is alone on its server: pages of other runs are not seen.

    If the number to begin with may be too small, one more is sent at a time, until pages wait in the server; at most as
    many as are requested. If it is twice what the server works on, or more, its first pages show that.

    Attributes:
        settled: whether the number is left as it is unless pages wait for one another. Before, they may.
    """

    def __init__(self, measured: Measured, requested: int) -> None:
        self.settled = measured.sure
        self._grows = not measured.sure
        self._too_many = requested + 1
        self._spans: list[Served] = []
        self._full = 0
        self._overhead: float | None = None
        self._from_first = True

    def note(
        self, answer: Answer, ended: float, slots: int, *, alone: bool, full: bool, last: bool = False
    ) -> int | None:
        """Take a page into account, whose response arrived at `ended`, seconds since the epoch.

        The server is thought to work on `slots` requests at once, `full` if so many are in flight on it; a run is
        `alone` if no other uses the server. After the `last` page none is in flight.

        Returns:
            How many requests to send at once from now on; None for as many as before.
        """
        span, queue = served_in(answer, ended), answer.timing.queue
        if span is not None:
            # A server spends some time on a page beside working on it; the first pages did not wait.
            self._overhead = queue if self._overhead is None else min(queue, self._overhead)
        if span is None or not alone:
            self._forget()
            return None
        self._spans.append(span)
        self._full += full
        enough = len(self._spans) >= max(_LEAST_PAGES, 4 * slots)
        if not enough and (self.settled or len(self._spans) < _FIRST_PAGES):
            return None
        at_once = self._worked_while_some_waited(enough=enough, last=last)
        if not enough and (at_once is None or 2 * at_once > slots):
            return None
        credible = at_once is not None and self._explained(at_once, slots, least=_LEAST_WAIT if enough else 0.0)
        were_full = self._full == len(self._spans)
        self._forget()
        if at_once is not None and at_once < slots and credible:
            self.settled = True
            self._too_many = at_once + 1 if enough else min(self._too_many, slots)
            return at_once
        if at_once is not None or not were_full:
            return None
        self.settled = not self._grows or slots + 1 >= self._too_many
        return None if self.settled else slots + 1

    def _forget(self) -> None:
        self._spans.clear()
        self._full = 0
        self._from_first = False

    def _worked_while_some_waited(self, *, enough: bool, last: bool) -> int | None:
        """Return how many were worked on while some waited.

        None if hardly any did, or if fewer than `enough` pages tell of too short a time.
        """
        overhead = self._overhead or 0.0
        spans = [
            span if span.arrived is None else replace(span, arrived=min(span.start, span.arrived + overhead))
            for span in self._spans
        ]
        if self._from_first and last:  # these are all requests that there were
            return at_once_while_some_wait(spans)
        # Which pages were worked on is known from when the first of these ended until the last may have begun.
        longest = max(span.end - span.start for span in spans)
        begin, end = min(span.end for span in spans), max(span.end for span in spans) - longest
        if not enough and end - begin < _FIRST_LENGTHS * longest:
            return None
        return at_once_while_some_wait(spans, _WAITING * max(0.0, end - begin), (begin, end))

    def _explained(self, at_once: int, slots: int, *, least: float) -> bool:
        """Return whether pages waited for as long as they do if that many slots are missing."""
        waited = mean(span.start - (span.start if span.arrived is None else span.arrived) for span in self._spans)
        missed = (slots - at_once) / at_once * mean(span.end - span.start for span in self._spans)
        return least * missed <= waited <= _MOST_WAIT * missed
