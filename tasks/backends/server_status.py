"""How it stands with a server that a run uses: who else does, and when it stops."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from tasks.leasing.lease import Lease


@dataclass(frozen=True)
class ServerStatus:
    """For people.

    Attributes:
        leases: who uses it, until when.
        ends: when it stops.
    """

    leases: str
    ends: str


def leased(leases: Iterable[Lease], ends: str) -> ServerStatus:
    """Of a server with leases."""
    told = "; ".join(f"{each.holder}, {each.slots} slots, until {clock(each.until)}" for each in leases)
    return ServerStatus(told or "none", ends)


def clock(at: float) -> str:
    """A time in seconds since the epoch: of today only the hour."""
    told = datetime.fromtimestamp(at, UTC)
    return f"{told:%H:%M:%S} UTC" if abs(at - time.time()) < 43_200 else f"{told:%Y-%m-%d %H:%M} UTC"
