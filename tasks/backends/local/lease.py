"""A run's lease on a server that Hearth keeps on this machine."""

from __future__ import annotations

import threading

from tasks.backends.base import Allocation, Endpoint, ServerLease
from tasks.backends.local.server import LeasedServer
from tasks.backends.local.server_state import local_servers
from tasks.backends.server_status import ServerStatus, clock
from tasks.core.jobs import BackendName
from tasks.settings.settings import Settings
from tasks.slots.store import FileStore

_LOOK_SECONDS = 0.25


class LocalLease(ServerLease):
    """A lease on a local server, watched by a thread of its own, so that a busy event loop delays no look."""

    managed = True

    def __init__(self, server: LeasedServer, settings: Settings) -> None:
        super().__init__(started_for=server.slots)
        self._server = server
        self._settings = settings
        self._done = threading.Event()
        threading.Thread(target=self._watch, name="hearth-server", daemon=True).start()

    def release(self) -> None:
        """See `ServerLease`."""
        self._done.set()
        self._server.lease.release()

    async def status(self) -> ServerStatus:
        """See `ServerLease`."""
        for server in local_servers(self._settings.home):
            if server.url == self._server.url and server.stops_at is not None:
                return ServerStatus("none", f"stops at {clock(server.stops_at)}")
        return ServerStatus("in use", f"stops {self._settings.idle_minutes:g} min after its last use")

    def _watch(self) -> None:
        while not self._done.wait(_LOOK_SECONDS):
            if self._server.has_ended():
                where = self._server.directory
                self.interruption.mark_gone(f"the server at {self._server.url} has ended; its log is in {where.path}")
                return


def local_allocation(backend: BackendName, server: LeasedServer, slots: int, settings: Settings) -> Allocation:
    """Return the allocation of a leased server, whose slots are shared by a file beside it."""
    return Allocation(
        backend=backend,
        endpoint=Endpoint(server.url),
        slots=slots,
        ledger=FileStore.of(settings.home, server.url, server.process),
        lease=LocalLease(server, settings),
        started=server.started,
    )
