"""A machine's record, and its leases."""

import time
import uuid
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Lease:
    """A run's hold on a machine. Times are seconds since the epoch.

    Attributes:
        holder: name of the run, for people.
        slots: parallel requests that the run may send.
        until: its end.
        token: identifies the lease.
        since: its beginning; 0 if unknown.
    """

    holder: str
    slots: int
    until: float
    token: str = field(default_factory=lambda: uuid.uuid4().hex[:16])
    since: float = field(default_factory=lambda: round(time.time(), 3))

    @property
    def facts(self) -> dict[str, object]:
        """The lease for `--json`."""
        return {"holder": self.holder, "slots": self.slots, "until": self.until}


@dataclass(frozen=True)
class Record:
    """The use of a machine. Times are seconds since the epoch.

    Attributes:
        leases: all that were not given back, with those of dead runs.
        closed_until: no lease can be taken before, because the machine is being stopped.
        closed_by: identifies the process that stops it.
        released_at: when the last lease was given back; 0 if none was.
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
        """Return the leases that have not ended."""
        return tuple(lease for lease in self.leases if lease.until > now)

    @property
    def last_used_at(self) -> float:
        """When the last lease was given back or ends; 0 if there was none."""
        return max((self.released_at, *(lease.until for lease in self.leases)))
