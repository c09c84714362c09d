"""The status of a server: which runs use it, and when it stops."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.leasing.lease import Lease


@dataclass(frozen=True)
class ServerStatus:
    """The status, for people."""

    leases: str
    ends: str


def leased(leases: Iterable[Lease], ends: str) -> ServerStatus:
    """Return the status of a server with leases."""
    users = "; ".join(f"{lease.holder}, {lease.slots} slots, until {clock(lease.until)}" for lease in leases)
    return ServerStatus(users or "none", ends)


def clock(at: float) -> str:
    """Return a time in seconds since the epoch as text, without the date if it is within 12 hours."""
    when = datetime.fromtimestamp(at, UTC)
    return f"{when:%H:%M:%S} UTC" if abs(at - time.time()) < 43_200 else f"{when:%Y-%m-%d %H:%M} UTC"
