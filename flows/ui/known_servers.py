"""What is known of a run's servers while it uses them, told as `hearth status` tells it."""

from __future__ import annotations

from tasks.backends.base import Allocation
from tasks.backends.server_status import ServerStatus, clock
from tasks.core.errors import CloudError
from tasks.views.summary import Held


class KnownServers:
    """The servers of one run, those that were given back included."""

    def __init__(self) -> None:
        self._held: dict[int, Allocation] = {}  # by their rows in what is told
        self._told: list[Held] = []

    @property
    def any_held(self) -> bool:
        """Whether the run uses one now."""
        return bool(self._held)

    def taken(self, allocation: Allocation) -> None:
        """The run uses it from now on."""
        self._held[len(self._told)] = allocation
        self._told.append(_held(allocation, "", "not asked yet"))

    def released(self, allocation: Allocation, told: str) -> None:
        """It was given back."""
        for row in [row for row, held in self._held.items() if held is allocation]:
            del self._held[row]
            self._told[row] = _held(allocation, "given back", told)

    async def ask(self) -> list[Held]:
        """All of them, in the order in which they were taken; those in use are asked after now."""
        for row, allocation in list(self._held.items()):
            now = await _asked(allocation)
            if row in self._held:  # and was not given back meanwhile
                self._told[row] = _held(allocation, now.leases, now.ends)
        return self.known

    @property
    def known(self) -> list[Held]:
        """What was known of them last."""
        return list(self._told)


async def _asked(allocation: Allocation) -> ServerStatus:
    try:
        return await allocation.lease.status()
    except CloudError:
        return ServerStatus("", "AWS could not be asked")


def _held(allocation: Allocation, leases: str, ends: str) -> Held:
    machine = allocation.machine
    if machine is None:
        what = "this machine" if allocation.lease.managed else "someone else's"
        return Held(allocation.endpoint.url, what, None, 0.0, leases, ends)
    kind = f"{machine.id}, {machine.kind}, since {clock(machine.since)}"
    return Held(allocation.endpoint.url, kind, machine.usd_per_hour, machine.usd_so_far(), leases, ends)
