"""A clock that only a test moves, in the place of the module `time` in one module of the product."""

from __future__ import annotations

import time


class Clock:
    """Stands still until it is moved: `monkeypatch.setattr("tasks.metrics.listener.time", Clock())`.

    Attributes:
        now: seconds since the epoch.
    """

    def __init__(self) -> None:
        self.now = time.time()

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.now += seconds

    def time(self) -> float:
        """Return the time of day."""
        return self.now

    def monotonic(self) -> float:
        """Return it, too: it is never set back."""
        return self.now

    def perf_counter(self) -> float:
        """Return it, too."""
        return self.now
