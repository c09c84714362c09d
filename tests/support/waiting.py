"""Wait for an event in another thread, process or task. How long it takes is nobody's business."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

PATIENCE = 240.0
"""Seconds after which a test gives up. It tells a hang from a busy machine, and nothing else."""

_LOOK_SECONDS = (0.02, 0.25)
"""Between two looks: at first, and at most. Who looks all the time takes the processor from what it waits for."""

Found = TypeVar("Found")


def until(done: Callable[[], Found], seconds: float = PATIENCE, *, every: float | None = None) -> Found:
    """Wait until `done` returns something true, and return it; the longer it takes, the less often it is asked.

    Raises:
        AssertionError: it did not within so many seconds.
    """
    began = time.monotonic()
    while not (found := done()):
        assert time.monotonic() < began + seconds, f"it did not come about within {seconds:g} s"
        time.sleep(every or _pause(began))
    return found


async def until_async(done: Callable[[], Found | Awaitable[Found]], seconds: float = PATIENCE) -> Found:
    """Wait as `until` does, and let other tasks of the event loop run meanwhile. `done` may be a coroutine function."""
    began = time.monotonic()
    while not (found := await _awaited(done())):
        assert time.monotonic() < began + seconds, f"it did not come about within {seconds:g} s"
        await asyncio.sleep(_pause(began))
    return found


def _pause(began: float) -> float:
    first, most = _LOOK_SECONDS
    return min(max(first, (time.monotonic() - began) / 20), most)


async def _awaited(found: Found | Awaitable[Found]) -> Found:
    return await found if inspect.isawaitable(found) else found
