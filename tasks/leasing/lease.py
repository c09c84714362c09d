"""What is known of one machine: who leases it, and until when."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Lease:
    """A run's hold on a machine.

    Attributes:
        holder: whose it is, for people.
        slots: requests at once that the run may send.
        until: seconds since the epoch.
        token: tells leases apart.
        since: seconds since the epoch; 0 if that is not known.
    """

    holder: str
    slots: int
    until: float
    token: str = field(default_factory=lambda: uuid.uuid4().hex[:16])
    since: float = field(default_factory=lambda: round(time.time(), 3))


@dataclass(frozen=True)
class Record:
    """What is known of a machine's use.

    Attributes:
        leases: all that were not given back, those of dead runs included.
        closed_until: nobody may take a lease before that time, because somebody stops the machine.
        released_at: when the last lease was given back; 0 if none was.
        closed_by: tells stoppers apart.
        stopped_at: when it was first seen stopped; 0 if it was not.
        version: changes with every change.
    """

    machine: str
    leases: tuple[Lease, ...] = ()
    closed_until: float = 0.0
    closed_by: str = ""
    released_at: float = 0.0
    stopped_at: float = 0.0
    version: int = 0

    def live(self, now: float) -> tuple[Lease, ...]:
        """The leases that have not ended."""
        return tuple(lease for lease in self.leases if lease.until > now)

    @property
    def last_used_at(self) -> float:
        """When the last lease was given back or will have ended, seconds since the epoch; 0 if there was none."""
        return max((self.released_at, *(lease.until for lease in self.leases)))
