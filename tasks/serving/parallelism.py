"""Measure how many requests a server works on at once: no field of Ollama's API says it."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from statistics import mean, median

from tasks.core.errors import TransientError
from tasks.core.replicas import Replicas
from tasks.inference.client import InferenceClient
from tasks.inference.schema import Answer, GenerateRequest
from tasks.serving.probe_image import probe_image
from tasks.slots.capacity import Count

# Ollama runs one request at a time for these, whatever OLLAMA_NUM_PARALLEL says (server/sched.go, v0.33).
SERIAL_FAMILIES = frozenset(
    {
        *("mllama", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen3next"),
        *("lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe", "nemotron_h_omni"),
    }
)

_EDGE = 0.15
"""Part of a request that is left out at each end: by a clock's error, consecutive requests seem to overlap."""
_PROBE_TOKENS = 16
PROBE_LINES = (1, 4, 12)
"""Lines of text on a probe's image: more if the server reads fewer too fast for other probes to arrive meanwhile."""
_LONG_SECONDS = 0.1
"""A probe that takes this long overlaps with others, even if they arrive late."""
_LEAST_PROBES, _MOST_PROBES = 3, 30
"""Consecutive probes of each slot: at least, unless they take long, and at most."""
_LEAST_SECONDS, _MOST_SECONDS = 0.5, 3.0
"""How long probes are sent at most: once the result is plain, and while it is not."""
_WAITED = 0.5
"""Part of a request's length for which requests must have waited in the server to make the result plain."""


_CREDIBLE = 0.5
"""Part of the time for which requests would wait without more slots; waits as long as that are real."""
_LOST = 0.2
"""Largest part of a slot's time between a request that ends and the next one that waits for the slot."""


@dataclass(frozen=True)
class Served:
    """When a server worked on a request, and when the request arrived there; seconds on one clock."""

    start: float
    end: float
    arrived: float | None = None


async def measure_each(client: InferenceClient, request: GenerateRequest, slots: int, parts: Replicas) -> Count:
    """Return how many requests each replica works on at once; measure again if their number changes meanwhile."""
    while True:
        count = max(1, parts.count)
        measured = await measure_parallelism(client, request, slots * count)
        if count == max(1, parts.count):
            return replace(measured, slots=max(1, round(measured.slots / count)))


async def measure_parallelism(client: InferenceClient, request: GenerateRequest, slots: int) -> Count:
    """Measure how many requests the server works on at once, with small real ones.

    `slots` of them are in flight all the time, each followed by another, until Ollama's own durations make it plain how
    many are worked on at one moment: as many as while others wait, or as many as were sent. If a server sends no
    durations, the result is how much sooner all were done than one after another. The number that a server says it was
    started for (llama-server) is taken as it is.
    """
    if slots == 1:
        return Count(1)
    prober = _Prober(client, replace(request, num_predict=_PROBE_TOKENS))
    await prober.alone()
    if started_for := await client.slots():
        return Count(min(slots, started_for), busy=prober.queued)
    spans, seconds = await prober.together(slots)
    if None in spans:
        return Count(max(1, min(slots, round(len(spans) * prober.seconds / seconds))), busy=prober.queued)
    count, sure = _counted([span for span in spans if span is not None], slots)
    return Count(count, sure=sure, busy=prober.queued)


def _counted(spans: Sequence[Served], sent: int) -> tuple[int, bool]:
    """Return how many of `sent` requests in flight were worked on at once, and whether that is sure."""
    most, waited = min(sent, most_at_once(spans)), at_once_while_some_wait(spans)
    if waited is None or waited >= sent:
        return max(1, most), most >= sent
    # The overhead of a busy machine also looks like waiting, but is shorter.
    wait = mean(span.start - (span.start if span.arrived is None else span.arrived) for span in spans)
    expected = (sent - waited) / waited * mean(span.end - span.start for span in spans)
    return (waited if wait >= _CREDIBLE * expected else max(most, waited)), most <= waited


class _Prober:
    """Sends probes, and knows what a single one takes.

    Attributes:
        seconds: the quickest single probe.
        queued: whether even a single probe waited in the server, because others use it.
    """

    def __init__(self, client: InferenceClient, request: GenerateRequest) -> None:
        self._client = client
        self._request = request
        self._image = b""
        self._overhead = 0.0
        self.seconds = 0.0
        self.queued = False

    async def alone(self) -> None:
        """Choose a probe that takes long enough."""
        for lines in PROBE_LINES:
            self._image = probe_image(lines)
            # The quicker of two: a first request may prepare what later ones find ready.
            self.seconds, answer = min([await self._probe() for _ in range(2)], key=lambda probe: probe[0])
            worked = answer.timing.prompt_eval + answer.timing.eval
            self._overhead = min(answer.timing.queue, self.seconds)
            self.queued = max(worked, _LONG_SECONDS) < answer.timing.queue <= self.seconds
            if self.seconds >= _LONG_SECONDS:
                return

    async def together(self, slots: int) -> tuple[list[Served | None], float]:
        """Keep `slots` probes in flight until the result is plain; return their times, and the seconds it took."""
        spans: list[Served | None] = []
        started = time.perf_counter()

        async def one_after_another() -> None:
            for sent in range(1, _MOST_PROBES + 1):
                _, answer = await self._probe()
                spans.append(served_in(answer, time.perf_counter(), self._overhead))
                passed = time.perf_counter() - started
                enough = sent >= _LEAST_PROBES or passed >= _LEAST_SECONDS
                if passed >= _MOST_SECONDS or (enough and _plain(spans, slots)):
                    return

        await asyncio.gather(*(one_after_another() for _ in range(slots)))
        return spans, time.perf_counter() - started

    async def _probe(self) -> tuple[float, Answer]:
        while True:
            started = time.perf_counter()
            try:
                answer = await self._client.generate(self._request, "Transcribe the text.", (self._image,))
            except TransientError as error:
                if not error.retry_after:
                    raise
                await asyncio.sleep(error.retry_after)  # of a gateway that limits the rate of requests
            else:
                return time.perf_counter() - started, answer


def _plain(spans: Sequence[Served | None], slots: int) -> bool:
    """Return whether probes show how many are worked on at once."""
    served = [span for span in spans if span is not None]
    if len(served) < len(spans):
        return True
    return most_at_once(served) >= slots or at_once_while_some_wait(served) is not None


def at_once_while_some_wait(
    spans: Sequence[Served], least: float | None = None, between: tuple[float, float] = (-math.inf, math.inf)
) -> int | None:
    """Return how many requests were worked on while others waited in the server: as many as it can work on.

    It is the usual number, not the largest, which a late clock may raise by one for a moment. With the clock of a busy
    client the mean is more exact: the durations add up to it, whenever they seem to end. Only the time `between` is
    looked at. The result is None unless some waited for `least` seconds in all, by default half of a request's length.
    """
    seconds = _seconds_while_some_wait(spans, *between)
    if least is None:
        least = _WAITED * median([span.end - span.start for span in spans] or [0.0])
    waited = sum(seconds.values())
    if not waited or waited < least:
        return None
    usual = sum(count * passed for count, passed in seconds.items()) / waited
    so_far = accumulate(seconds[count] for count in sorted(seconds))
    middle = next(count for count, passed in zip(sorted(seconds), so_far, strict=True) if passed >= waited / 2)
    return max(1, middle, round(usual + _LOST))


def _seconds_while_some_wait(spans: Sequence[Served], begin: float, end: float) -> dict[int, float]:
    """Return for how many seconds some requests waited in the server, by how many were worked on."""
    steps: list[tuple[float, int, int]] = []
    for span in spans:
        arrived = span.start if span.arrived is None else span.arrived
        steps += [(arrived, 0, 1), (span.start, 1, -1), (span.end, -1, 0)]
    seconds: dict[int, float] = {}
    working = waiting = 0
    before = 0.0
    for at, worked, waited in sorted(steps):
        passed = min(at, end) - max(before, begin)
        if waiting > 0 and passed > 0:
            seconds[working] = seconds.get(working, 0.0) + passed
        before, working, waiting = at, working + worked, waiting + waited
    return seconds


def most_at_once(spans: Sequence[Served]) -> int:
    """Return the largest number of spans that overlap at one moment, without their edges."""
    events = sorted(
        event
        for span in spans
        for edge in ((span.end - span.start) * _EDGE,)
        for event in ((span.start + edge, 1), (span.end - edge, -1))
    )
    most = now = 0
    for _, step in events:
        now += step
        most = max(most, now)
    return most


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
