"""The equal servers behind one address, such as tasks behind a load balancer."""

import threading
import time
from collections.abc import Callable


class Replicas:
    """The current number of servers, updated from any thread. A single server is one replica for good.

    Attributes:
        seen_at: when the count was last updated, seconds since the epoch; 0 if never.
        waiting: returns how many pages of this run wait for a slot; set by the reader of the pages.
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
        """Record how many replicas serve, and how many are paid for, including those that start or stop."""
        with self._lock:
            self._paid_seconds = self._total_seconds()
            self._paid, self._paid_since = paid, time.monotonic()
            self.count, self.seen_at = count, time.time()

    @property
    def paid_seconds(self) -> float:
        """Paid seconds of all replicas together, since the first update."""
        with self._lock:
            return self._total_seconds()

    def _total_seconds(self) -> float:
        return self._paid_seconds + self._paid * (time.monotonic() - self._paid_since)
