"""A run's lease on a server that Hearth keeps on this machine, and what its backends share."""

import threading

from tasks.backends.base import Allocation, Backend, Endpoint, Release, ServerLease
from tasks.backends.local.server import LeasedServer, ServerSpec, lease_server
from tasks.backends.local.server_state import local_servers
from tasks.backends.server_status import ServerStatus, clock
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


class LocalBackend(Backend):
    """A server on this machine that is started when needed, shared by a file beside it, and stopped when idle."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def start(self, spec: ServerSpec, slots: int) -> Allocation:
        """Reuse a server, or start it.

        Raises:
            ServerError: it does not start, or does not answer in time.
        """
        server = await lease_server(
            spec,
            self._settings.home,
            idle_seconds=self._settings.idle_minutes * 60,
            deadline_seconds=self._settings.warm.deadline_seconds,
        )
        return Allocation(
            backend=self.name,
            endpoint=Endpoint(server.url),
            slots=slots,
            ledger=FileStore.of(self._settings.home, server.url, server.process),
            lease=LocalLease(server, self._settings),
            started=server.started,
        )

    async def release(self, allocation: Allocation, *, broken: bool = False) -> Release:
        """See `Backend`."""
        if not allocation.lease.managed:
            return Release("left as it was: Hearth did not start it")
        allocation.lease.release()
        return Release(f"stays warm for {self._settings.idle_minutes:g} min, then stops")
