"""What the notes of a server tell of the runs that shared it. Seconds throughout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any

from tests.support.ollama.counting import CountingOllama, Note, most, seconds_within, sent, steps, worked_on

# Fairness is looked at over windows of so many page times.
_WINDOW_PAGES = 5


def figures(server: CountingOllama, page_seconds: float, ready: Mapping[int, float]) -> dict[str, Any]:
    """All that one server's notes tell; `ready` says from when runs were, on the monotonic clock."""
    pages, slots = [note for note in server.pages if note.started is not None], server.slots
    gaps = idle_slots(pages, slots)
    shares = fairness(pages, _WINDOW_PAGES * page_seconds)
    return {
        "slots": slots,
        "pages": sum(note.status == 200 for note in pages),
        "most_sent": most(sent(pages)),
        "most_sent_with_probes": most(sent(server.notes)),
        "most_worked_on": most(worked_on(server.notes)),
        "occupancy": occupancy(pages, slots),
        "work_seconds": sum(end - start for start, end in working(pages)),
        "idle_slot_median": median(gaps) if gaps else None,
        "idle_slot_95": sorted(gaps)[len(gaps) * 95 // 100] if gaps else None,
        "idle_slot_most": max(gaps, default=None),
        "waits": waits(server, ready),
        "jain": shares[0],
        "jain_least": shares[1],
    }


def occupancy(pages: Sequence[Note], slots: int) -> float:
    """The share of slot time that was used while any page waited."""
    used = sum(seconds_within(worked_on(pages), start, end) for start, end in working(pages))
    return used / slots / sum(end - start for start, end in working(pages))


def working(pages: Sequence[Note]) -> list[tuple[float, float]]:
    """When there were pages that waited: from a run's first page's start to its last one's, of any run."""
    runs: dict[int, list[float]] = {}
    for note in pages:
        runs.setdefault(note.run, []).append(note.started or note.received)
    told: list[tuple[float, float]] = []
    for start, end in sorted((min(of), max(of)) for of in runs.values()):
        if told and start <= told[-1][1]:
            told[-1] = (told[-1][0], max(told[-1][1], end))
        else:
            told.append((start, end))
    return told


def idle_slots(pages: Sequence[Note], slots: int) -> list[float]:
    """How long each slot that came free stayed so: the k-th end frees a slot for the start k + slots."""
    starts = sorted(start for start, _ in worked_on(pages))
    ends = sorted(end for _, end in worked_on(pages) if end is not None)
    return [max(0.0, start - end) for start, end in zip(starts[slots:], ends, strict=False)]


def waits(server: CountingOllama, ready: Mapping[int, float]) -> dict[int, dict[str, float]]:
    """Each run's way to its first page: from its model's being loaded, and from its being ready to send pages."""
    told: dict[int, dict[str, float]] = {}
    for run in sorted({note.run for note in server.pages}):
        first = min(note.started for note in server.pages if note.run == run and note.started is not None)
        told[run] = {"since_loaded": first - server.loaded[run]}
        if run in ready:
            told[run]["since_ready"] = first - ready[run]
    return told


def fairness(pages: Sequence[Note], window: float) -> tuple[float, float] | tuple[None, None]:
    """Jain's index of the runs' slot seconds while all of them had pages waiting: of the whole, and the least window.

    1 is equal shares, 1/n is all for one of n.
    """
    runs = sorted({note.run for note in pages})
    started = {run: [note.started for note in pages if note.run == run and note.started is not None] for run in runs}
    start, end = max(min(of) for of in started.values()), min(max(of) for of in started.values())
    if end - start < window:
        return None, None
    used = {run: worked_on([note for note in pages if note.run == run]) for run in runs}

    def index(since: float, to: float) -> float:
        shares = [seconds_within(used[run], since, to) for run in runs]
        return sum(shares) ** 2 / len(shares) / sum(share**2 for share in shares)

    count = int((end - start) / window)
    edges = [start + place * window for place in range(count + 1)]
    return index(start, end), min(index(since, to) for since, to in pairwise(edges))


def busy_again(pages: Sequence[Note], slots: int, after: float) -> float | None:
    """How long after a moment all slots were in use again; None: never."""
    now = 0
    for moment, now_then in steps(worked_on(pages)):
        if moment > after and now_then >= slots:
            return moment - after if now < slots else 0.0
        now = now_then
    return None


def lost_slots(pages: Sequence[Note], slots: int, start: float, end: float) -> float:
    """Slot seconds that nobody used between two moments."""
    return slots * (end - start) - seconds_within(worked_on(pages), start, end)
