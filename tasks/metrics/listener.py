"""A listener that counts the events of a run, for the whole run and for its last minute."""

import threading
import time
from collections import deque

from tasks.core.events import Event, PagesStarted, Progress, StepDone
from tasks.metrics import names
from tasks.metrics.aggregate import Aggregate
from tasks.reading.events import PageDone
from tasks.results.page import PageResult, PageStatus
from tasks.results.usage import Spread

_LAST_PAGES = 100
_RATE_SECONDS = 60


class PageMetrics:
    """Counts pages, from any thread; `tasks.metrics.names` lists the metrics.

    Attributes:
        stage: what the run is doing, for people.
        asked, done, failed: pages that are to be read, were stored, and failed.
    """

    def __init__(self, aggregate: Aggregate) -> None:
        self._aggregate = aggregate
        self._lock = threading.Lock()
        self._latencies: deque[float] = deque(maxlen=_LAST_PAGES)
        self._firsts: deque[float] = deque(maxlen=_LAST_PAGES)
        self._seconds: deque[tuple[int, int, int]] = deque(maxlen=_RATE_SECONDS + 1)
        self._pages_from: float | None = None
        self.stage = ""
        self.asked = self.done = self.failed = 0

    def __call__(self, event: Event) -> None:
        """See `Listener`."""
        match event:
            case PageDone(result=result):
                self._count(result)
            case PagesStarted(total=total, standing=standing):
                self.stage = "reading"
                self.asked += total - standing
                self._pages_from = self._pages_from or time.monotonic()
            case StepDone(step=step, seconds=seconds):
                self._aggregate.add(names.WARM_SECONDS, seconds, step)
            case Progress(message=what):
                self.stage = what
            case _:
                pass

    def _count(self, result: PageResult) -> None:
        aggregate = self._aggregate
        aggregate.add(names.PAGES, label=result.status)
        aggregate.add(names.TOKENS_IN, result.tokens_in)
        aggregate.add(names.TOKENS_OUT, result.tokens_out)
        failed = result.status is PageStatus.FAILED
        if result.reason is not None:
            aggregate.add(names.FAILURES, label=result.reason)
        tries = [attempt.reason for attempt in result.attempts if attempt.reason is not None]
        for reason in tries[:-1] if failed else tries:
            aggregate.add(names.RETRIES, label=reason)
        if result.attempts:
            aggregate.add(names.PAGE_SECONDS, result.seconds)
        if result.status is PageStatus.READ:
            aggregate.add(names.QUEUE_SECONDS, result.timing.queue)
        if result.first_seconds is not None:
            aggregate.add(names.FIRST_TOKEN_SECONDS, result.first_seconds)
        with self._lock:
            self.done += 1
            self.failed += failed
            if result.attempts:
                self._latencies.append(result.seconds)
            if result.first_seconds is not None:
                self._firsts.append(result.first_seconds)
            now = int(time.monotonic())
            if not self._seconds or self._seconds[-1][0] != now:
                self._seconds.append((now, 0, 0))
            second, pages, tokens = self._seconds[-1]
            self._seconds[-1] = (second, pages + 1, tokens + result.tokens_out)

    def latency(self) -> Spread | None:
        """Return the seconds of the last hundred pages; None before the first."""
        with self._lock:
            return Spread.of(self._latencies)

    def first_token(self) -> Spread | None:
        """Return the seconds to the first token of the last hundred pages; None before the first."""
        with self._lock:
            return Spread.of(self._firsts)

    def rates(self) -> tuple[float, float]:
        """Return pages a minute and tokens a second, over the last minute or since the first page started."""
        now = time.monotonic()
        with self._lock:
            recent = [(pages, tokens) for second, pages, tokens in self._seconds if second > now - _RATE_SECONDS]
        seconds = max(1.0, min(_RATE_SECONDS, now - (self._pages_from or now)))
        return 60 * sum(pages for pages, _ in recent) / seconds, sum(tokens for _, tokens in recent) / seconds
