"""What is known of a run's servers while it uses them, told as `hearth status` tells it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from tasks.backends import Endpoint
from tasks.ec2.pool import Pool, open_pool
from tasks.ec2.status import status_of
from tasks.errors import CloudError
from tasks.jobs import BackendName
from tasks.local_server import local_servers
from tasks.settings import Settings
from tasks.summary import Held


class Standing:
    """The servers of one run, those that were given back included."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool: Pool | None = None
        self._held: dict[int, Endpoint] = {}  # by their rows in what is told
        self._told: list[Held] = []

    @property
    def any_held(self) -> bool:
        """Whether the run uses one now."""
        return bool(self._held)

    def taken(self, endpoint: Endpoint) -> None:
        """The run uses it from now on."""
        self._held[len(self._told)] = endpoint
        self._told.append(_held(endpoint, "", "not asked yet"))

    def released(self, endpoint: Endpoint, told: str) -> None:
        """It was given back."""
        for row in [row for row, held in self._held.items() if held is endpoint]:
            del self._held[row]
            self._told[row] = _held(endpoint, "given back", told)

    async def ask(self) -> list[Held]:
        """All of them, in the order in which they were taken; those in use are asked after now."""
        for row, endpoint in list(self._held.items()):
            leases, ends = await self._asked(endpoint)
            if row in self._held:  # and was not given back meanwhile
                self._told[row] = _held(endpoint, leases, ends)
        return self.known

    @property
    def known(self) -> list[Held]:
        """What was known of them last."""
        return list(self._told)

    async def _asked(self, endpoint: Endpoint) -> tuple[str, str]:
        if endpoint.backend is BackendName.EC2 and endpoint.machine is not None:
            return await self._on_ec2(endpoint.machine.id)
        for server in local_servers(self._settings.home):
            if server.url == endpoint.url:
                idle = f"stops {self._settings.idle_minutes:g} min after its last use"
                return ("in use", idle) if server.stops_at is None else ("", f"stops at {_clock(server.stops_at)}")
        return "in use", "" if endpoint.owned else "someone else runs it"

    async def _on_ec2(self, machine: str) -> tuple[str, str]:
        try:
            self._pool = self._pool or await open_pool(self._settings)
            found = await status_of(self._pool, machine)
        except CloudError:
            return "", "AWS could not be asked"
        if not found:
            return "", "it is gone"
        leases = [f"{each.holder}, {each.slots} slots, until {_clock(each.until)}" for each in found[0].leases]
        return "; ".join(leases) or "none", found[0].ends


def _held(endpoint: Endpoint, leases: str, ends: str) -> Held:
    machine = endpoint.machine
    if machine is None:
        what = "this machine" if endpoint.owned else "someone else's"
        return Held(endpoint.url, what, None, 0.0, leases, ends)
    kind = f"{machine.id}, {machine.kind}, since {_clock(machine.since)}"
    return Held(endpoint.url, kind, machine.usd_per_hour, machine.usd_so_far(), leases, ends)


def _clock(at: float) -> str:
    told = datetime.fromtimestamp(at, UTC)
    return f"{told:%H:%M:%S} UTC" if abs(at - time.time()) < 43_200 else f"{told:%Y-%m-%d %H:%M} UTC"
