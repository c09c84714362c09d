"""A server's page times: the next page's timeout, stragglers, and whether the server has become slow."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median

from tasks.inference.limits import AnswerLimits
from tasks.inference.schema import Answer
from tasks.settings.reading import ReadSettings

_REMEMBERED = 64
_ENOUGH = 4
"""Fewest pages to judge by."""
_MARGIN = 2.0
"""A timeout is this many times the longest time that a page could take."""
_STRAGGLER = 4.0
"""Times the median after which a page is a straggler: of lognormal page times with a sigma of 0.5, 3 in 1,000 are."""
_STRAGGLER_LEAST_SECONDS = 2.0
_SLOW = 2.5
"""A server is slow at this many times the usual cost; the length of a response alone changes it by less than 2."""
_USUAL_MOVES = 0.2
"""The usual cost moves by this part of the difference each time: a lasting slowdown becomes the baseline."""


@dataclass(frozen=True)
class Served:
    """A page that was read: its seconds as the run measured them, Ollama's own, and its tokens."""

    seconds: float
    queued: float
    worked: float
    writing: float
    tokens: int

    @classmethod
    def of(cls, answer: Answer, seconds: float) -> Served:
        """Return the times of a response that took so many seconds."""
        timing = answer.timing
        worked = timing.prompt_eval + timing.eval
        return cls(seconds, timing.queue if worked else 0.0, worked or seconds, timing.eval, answer.eval_count)


class LatencyTracker:
    """The page times of one server in one run, whose responses have `num_predict` tokens at most."""

    def __init__(self, settings: ReadSettings, num_predict: int) -> None:
        self._most_seconds = settings.first_seconds
        self._least_seconds = min(settings.timeout_least_seconds, settings.first_seconds)
        self._silence_seconds = settings.silence_seconds
        self._whole_seconds = settings.timeout_seconds
        self._num_predict = num_predict
        self._served: deque[Served] = deque(maxlen=_REMEMBERED)
        self._window: list[Served] = []
        self._usual: float | None = None
        self._usual_tokens = 1.0

    def note(self, served: Served, window: int) -> bool:
        """Take a page into account; so many pages as the window has are judged together.

        Returns:
            Whether the server has become slow: it takes a lot longer than usual for similar pages, or they wait in it
            for longer than it works on them.
        """
        self._served.append(served)
        self._window.append(served)
        if len(self._window) < max(_ENOUGH, window):
            return False
        judged, self._window = self._window, []
        queued = median(page.queued for page in judged) > median(page.worked for page in judged)
        if self._usual is None:
            self._usual_tokens = max(1.0, median(page.tokens for page in judged))
            self._usual = self._cost(judged)
            return queued
        cost = self._cost(judged)
        slow = cost > _SLOW * self._usual
        self._usual += _USUAL_MOVES * (cost - self._usual)
        return slow or queued

    def _cost(self, pages: list[Served]) -> float:
        # By the server's own durations, if it sends them: a busy client, which sees pages late, is no slow server.
        # The usual tokens beside the page's own: neither an empty page nor one of five times the text looks slow.
        return median(page.worked / (page.tokens + self._usual_tokens) for page in pages)

    def limits(self, stretch: float = 1.0, behind: int = 0) -> AnswerLimits:
        """Return the longest waits for a response, which begins within `stretch` times the usual time.

        The server may answer so many other requests before (`behind`); the usual time includes that.
        """
        queue = behind * self._most_seconds
        most = self._most_seconds + queue
        return AnswerLimits(min(most, stretch * self._first(most)), self._silence_seconds, self._whole_seconds + queue)

    def _first(self, most: float) -> float:
        """Return the seconds until a response begins: twice what the longest page could take, within bounds.

        A server that does not stream sends the whole response at once.
        """
        if len(self._served) < _ENOUGH:
            return most
        token_seconds = median(page.writing / page.tokens if page.tokens else 0.0 for page in self._served)
        beside = max(page.seconds - page.writing for page in self._served)
        slowest = max(page.seconds for page in self._served)
        longest = max(slowest, beside + self._num_predict * token_seconds)
        return min(most, max(self._least_seconds, _MARGIN * longest))

    @property
    def straggler_seconds(self) -> float | None:
        """Seconds after which a page is a straggler; None while there are too few pages to judge by."""
        if len(self._served) < _ENOUGH:
            return None
        return max(_STRAGGLER_LEAST_SECONDS, _STRAGGLER * median(page.seconds for page in self._served))
