"""The equal parts behind one server's address, such as tasks behind a load balancer: how many there are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Replicas:
    """How many there are now: told by who watches them, from any thread; a server on its own is one, for good.

    Args:
        count: that serve.

    Attributes:
        seen_at: when that was seen to be so, seconds since the epoch; 0 for one that never changes.
        waiting: asks how many pages of this run are not begun for want of slots; set by who reads.
    """

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self.seen_at = 0.0
        self.waiting: Callable[[], int] = lambda: 0
        self._paid = 0
        self._paid_since = time.monotonic()
        self._paid_seconds = 0.0
        self._lock = threading.Lock()

    def see(self, count: int, *, paid: int) -> None:
        """Tell how many serve now, and how many are paid for, those that start or end among them."""
        with self._lock:
            self._paid_seconds = self._counted()
            self._paid, self._paid_since = paid, time.monotonic()
            self.count, self.seen_at = count, time.time()

    @property
    def paid_seconds(self) -> float:
        """Of all parts together, since they were first seen."""
        with self._lock:
            return self._counted()

    def _counted(self) -> float:
        return self._paid_seconds + self._paid * (time.monotonic() - self._paid_since)
