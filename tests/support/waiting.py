"""Wait for an event in another thread, process or task. How long it takes is nobody's business."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

PATIENCE = 240.0
"""Seconds after which a test gives up. It tells a hang from a busy machine, and nothing else."""

_LOOK_SECONDS = 0.02

Found = TypeVar("Found")


def until(done: Callable[[], Found], seconds: float = PATIENCE, *, every: float = _LOOK_SECONDS) -> Found:
    """Wait until `done` returns something true, and return it.

    Raises:
        AssertionError: it did not within so many seconds.
    """
    deadline = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < deadline, f"it did not come about within {seconds:g} s"
        time.sleep(every)
    return found


async def until_async(done: Callable[[], Found | Awaitable[Found]], seconds: float = PATIENCE) -> Found:
    """Wait as `until` does, and let other tasks of the event loop run meanwhile. `done` may be a coroutine function."""
    deadline = time.monotonic() + seconds
    while not (found := await _awaited(done())):
        assert time.monotonic() < deadline, f"it did not come about within {seconds:g} s"
        await asyncio.sleep(_LOOK_SECONDS)
    return found


async def _awaited(found: Found | Awaitable[Found]) -> Found:
    return await found if inspect.isawaitable(found) else found
