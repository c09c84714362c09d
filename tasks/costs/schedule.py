"""List scheduling: pages over slots."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heapreplace


def makespan(seconds: Iterable[float], slots: int) -> float:
    """Seconds until the last page is done, when each page in turn goes to the slot that is free first."""
    free = [0.0] * slots
    heapify(free)
    for each in seconds:
        heapreplace(free, free[0] + each)
    return max(free)
