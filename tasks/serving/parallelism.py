"""How many requests a server answers at once: measured, since no field of Ollama's API tells."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

import pymupdf

from tasks.core.replicas import Replicas
from tasks.ollama.client import Answer, GenerateRequest, OllamaClient

SERIAL_FAMILIES = frozenset(
    {
        *("mllama", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen3next"),
        *("lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe", "nemotron_h_omni"),
    }
)


_EDGE = 0.15


_PROBE_TOKENS = 16


_ROUNDS = 3


@dataclass(frozen=True)
class Served:
    """When a request was being worked on inside the server, without its wait there; seconds on one clock."""

    start: float
    end: float


async def _measure_each(client: OllamaClient, request: GenerateRequest, slots: int, parts: Replicas) -> int:
    """How many requests each part works on at once; measured anew if they are not as many any more."""
    while True:
        count = max(1, parts.count)
        found = await measure_parallelism(client, request, slots * count)
        if count == max(1, parts.count):
            return max(1, round(found / count))


async def measure_parallelism(client: OllamaClient, request: GenerateRequest, slots: int) -> int:
    """How many requests the server works on at once: small real ones are sent, one alone and then `slots` together.

    No field of Ollama's API tells it. Counted is how many were being worked on at one moment, by Ollama's own
    durations; where a server sends none, how much sooner all were done than one after another.
    """
    if slots == 1:
        return 1
    request = replace(request, num_predict=_PROBE_TOKENS)
    image = _probe_image()

    async def probe() -> tuple[float, Served | None]:
        started = time.perf_counter()
        answer = await client.generate(request, "Transcribe the text.", (image,))
        ended = time.perf_counter()
        return ended - started, _served(answer, ended)

    # The quicker of two: a first request may pay for what later ones find ready.
    alone = min([(await probe())[0] for _ in range(2)])
    best, last = 1, 0
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        probes = await asyncio.gather(*(probe() for _ in range(slots)))
        together = time.perf_counter() - started
        served = [span for _, span in probes if span is not None]
        counted = most_at_once(served) if len(served) == slots else round(slots * alone / together)
        best = max(best, min(slots, counted))
        if best == slots or counted == last:
            break
        last = counted
    return best


def most_at_once(spans: list[Served]) -> int:
    """The largest number of spans that overlap at one moment, their edges left out."""
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


def _served(answer: Answer, ended: float) -> Served | None:
    """By the server's clock, where it tells when it was done: an answer may wait for a busy client to read it."""
    worked = answer.timing.prompt_eval + answer.timing.eval
    if answer.created_at is not None:
        ended = answer.created_at.timestamp()
    return Served(ended - worked, ended) if worked > 0 else None


def _probe_image() -> bytes:
    with pymupdf.open() as pdf:
        page = pdf.new_page(width=224, height=56)
        page.insert_text((12, 36), "Hearth is getting warm.", fontsize=18)
        return bytes(page.get_pixmap().tobytes("png"))


def _shortfall(asked: int, measured: int, family: str) -> str | None:
    if measured >= asked:
        return None
    told_of = f"{measured} of the {asked} slots asked for: "
    if family in SERIAL_FAMILIES:
        return told_of + f"Ollama serves models of the family {family} one request at a time."
    return told_of + "the server was started with a smaller OLLAMA_NUM_PARALLEL, or is busy with other work."
