"""A server that Hearth keeps on this machine, as an allocation."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

from tasks.backends.base import Allocation, Endpoint
from tasks.backends.local.server import LeasedServer
from tasks.backends.local.server_state import local_servers
from tasks.backends.server_status import ServerStatus, clock
from tasks.core.interruption import Interruption
from tasks.core.jobs import BackendName
from tasks.settings.settings import Settings
from tasks.slots.store import FileStore

_LOOK_SECONDS = 0.25


class ServerLease:
    """A lease on a local server, and a look at whether it lives, in a thread of its own: no event loop delays it."""

    def __init__(self, server: LeasedServer, interruption: Interruption) -> None:
        self._server = server
        self._interruption = interruption
        self._done = threading.Event()
        threading.Thread(target=self._watch, name="hearth-server", daemon=True).start()

    def release(self) -> None:
        """See `Held`."""
        self._done.set()
        self._server.lease.release()

    def _watch(self) -> None:
        while not self._done.wait(_LOOK_SECONDS):
            if self._server.has_ended():
                where = self._server.directory
                self._interruption.mark_gone(f"the server at {self._server.url} has ended; its log is in {where.path}")
                return


def local_allocation(backend: BackendName, server: LeasedServer, slots: int, settings: Settings) -> Allocation:
    """Of a server that is leased. Its slots are shared by a file beside it."""
    interruption = Interruption()
    return Allocation(
        backend=backend,
        endpoint=Endpoint(server.url),
        slots=slots,
        ledger=FileStore.of(settings.home, server.url, server.process),
        started_for=server.slots,
        started=server.started,
        owned=True,
        lease=ServerLease(server, interruption),
        interruption=interruption,
        status=partial(_status, settings.home, server.url, settings.idle_minutes),
    )


async def _status(home: Path, url: str, idle_minutes: float) -> ServerStatus:
    for server in local_servers(home):
        if server.url == url and server.stops_at is not None:
            return ServerStatus("none", f"stops at {clock(server.stops_at)}")
    return ServerStatus("in use", f"stops {idle_minutes:g} min after its last use")
