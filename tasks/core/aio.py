"""End tasks whose ending matters: they give back what costs money."""

from __future__ import annotations

import asyncio
from typing import Any


async def ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks, once, and wait until they have ended, however often the wait itself is cancelled.

    When a signal ends a worker's run, all its tasks are cancelled at once, and then each by whoever waits for it: a
    second time, in the middle of giving back what it holds.
    """
    for task in tasks:
        if not task.done() and not task.cancelling():
            task.cancel()
    again: asyncio.CancelledError | None = None
    while not all(task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError as error:
            again = error
    if again is not None:
        raise again
