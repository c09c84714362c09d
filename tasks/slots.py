"""The cap on pages in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class Slots:
    """At most `count` calls at once, first come first served.

    Attributes:
        count: how many.
        in_flight: how many are taken now.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.in_flight = 0
        self._free = asyncio.Semaphore(count)

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Wait for a slot and make a call in it."""
        async with self._free:
            self.in_flight += 1
            try:
                return await call()
            finally:
                self.in_flight -= 1
