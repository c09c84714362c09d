"""How many requests a server works on at once: the number that a run begins with, and what its pages show of it.

No field of Ollama's API states it.
"""

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median

from tasks.inference.client import InferenceClient
from tasks.inference.schema import Answer
from tasks.slots.ledger import Measured

# Ollama runs one request at a time for these, whatever OLLAMA_NUM_PARALLEL says (server/sched.go, v0.33).
SERIAL_FAMILIES = frozenset(
    {
        *("mllama", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen3next"),
        *("lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe", "nemotron_h_omni"),
    }
)

_WAITED = 0.5
"""Part of a request's length for which requests must have waited in the server to count what it worked on meanwhile."""
_MOST = 0.9
"""Part of the time for which the number is not exceeded."""
_EDGE = 0.2
"""Part of a request that is left out at each end: by a late clock, consecutive requests seem to overlap."""
_REMEMBERED = 64
"""Pages among which those are that were worked on at once."""
_LOST = 0.2
"""Largest part of a slot's time between a request that ends and the next one that waits for the slot."""


@dataclass(frozen=True)
class Served:
    """When a server worked on a request, and when the request arrived there; seconds on one clock."""

    start: float
    end: float
    arrived: float | None = None


async def first_number(
    client: InferenceClient, what: str, requested: int, family: str, started_for: int | None
) -> Measured:
    """Return how many of the requested parallel requests a server is sent first; the pages correct the number.

    As many as the server states (llama-server does), or as Hearth started it for; one for a model that Ollama serves
    one request at a time; otherwise all. `what` is the model, and what else may change the number.
    """
    if requested == 1:
        return Measured(what=what, slots=1, asked=1, at=0.0)
    if stated := await client.slots():
        return Measured(what=what, slots=min(requested, stated), asked=requested, at=0.0)
    slots = 1 if family in SERIAL_FAMILIES else min(requested, started_for or requested)
    return Measured(what=what, slots=slots, asked=requested, at=0.0, sure=False, seen=slots == 1)


class SeenAtOnce:
    """The most requests of a run that its server was seen working on at once.

    Other runs may use the server meanwhile: then it works on even more.

    Attributes:
        most: that number; 0 before the first page.
    """

    def __init__(self) -> None:
        self.most = 0
        self._spans: deque[Served] = deque(maxlen=_REMEMBERED)

    def note(self, answer: Answer, began: float, ended: float) -> None:
        """Take a page into account, which was sent and answered then, seconds since the epoch.

        Of a server that sends no durations it is known that it worked from the first token on.
        """
        span = served_in(answer, ended)
        if span is None and answer.first_seconds is not None:
            span = Served(began + answer.first_seconds, ended)
        if span is None:
            self.most = max(self.most, 1)
            return
        self._spans.append(span)
        self.most = max(self.most, most_at_once(self._spans))


def most_at_once(spans: Iterable[Served]) -> int:
    """Return the largest number of spans that overlap at one moment, without their edges."""
    events = sorted(
        event
        for span in spans
        for edge in ((span.end - span.start) * _EDGE,)
        for event in ((span.start + edge, 1), (span.end - edge, -1))
    )
    return max(accumulate(step for _, step in events), default=0)


def at_once_while_some_wait(
    spans: Sequence[Served], least: float | None = None, between: tuple[float, float] = (-math.inf, math.inf)
) -> int | None:
    """Return how many requests were worked on while others waited in the server: as many as it can work on.

    It is the usual number, not the largest, which a late clock may raise by one for a moment; but it is exceeded for a
    tenth of the time at most, since requests may wait for other reasons, such as a busy processor. With the clock of a
    busy client the mean is more exact: the durations add up to it, whenever they seem to end. Only the time `between`
    is looked at. The result is None unless some waited for `least` seconds in all, by default half of a request's
    length.
    """
    all_seconds, waiting_seconds = _seconds_by_number(spans, *between)
    if least is None:
        least = _WAITED * median([span.end - span.start for span in spans] or [0.0])
    waited = sum(waiting_seconds.values())
    if not waited or waited < least:
        return None
    usual = sum(count * passed for count, passed in waiting_seconds.items()) / waited
    middle, most = _quantile(waiting_seconds, 0.5), _quantile(all_seconds, _MOST)
    return max(1, middle, most, round(usual + _LOST))


def _quantile(seconds: Mapping[int, float], part: float) -> int:
    """Return the number that is not exceeded for this part of the time."""
    so_far = accumulate(seconds[count] for count in sorted(seconds))
    enough = part * sum(seconds.values())
    return next((count for count, passed in zip(sorted(seconds), so_far, strict=True) if passed >= enough), 0)


def _seconds_by_number(
    spans: Sequence[Served], begin: float, end: float
) -> tuple[Mapping[int, float], Mapping[int, float]]:
    """Return for how many seconds so many requests were worked on: in all, and while some waited in the server."""
    steps: list[tuple[float, int, int]] = []
    for span in spans:
        arrived = span.start if span.arrived is None else span.arrived
        steps += [(arrived, 0, 1), (span.start, 1, -1), (span.end, -1, 0)]
    all_seconds, waiting_seconds = defaultdict[int, float](float), defaultdict[int, float](float)
    working = waiting = 0
    before = -math.inf
    for at, worked, waited in sorted(steps):
        passed = min(at, end) - max(before, begin)
        if 0 < passed < math.inf:
            all_seconds[working] += passed
            if waiting > 0:
                waiting_seconds[working] += passed
        before, working, waiting = at, working + worked, waiting + waited
    return all_seconds, waiting_seconds


def served_in(answer: Answer, ended: float, overhead: float = 0.0) -> Served | None:
    """Return when a request was worked on; None if the server sends no durations.

    The client had the response at `ended`; the response's own time of creation counts, if it has one, because it may
    wait for a busy client to read it. The server spends `overhead` seconds on a request beside working on it, even if
    none is before it.
    """
    timing = answer.timing
    worked = timing.prompt_eval + timing.eval
    if worked <= 0:
        return None
    if answer.created_at is not None:
        ended = answer.created_at.timestamp()
    return Served(ended - worked, ended, ended - worked - max(0.0, timing.queue - overhead))
