"""A server that Hearth keeps on this machine, as an endpoint."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tasks.backends.base import Endpoint
from tasks.backends.local.server import LeasedServer, local_servers
from tasks.backends.server_status import ServerStatus, clock
from tasks.core.jobs import BackendName
from tasks.settings.settings import Settings
from tasks.slots.store import FileStore


def local_endpoint(backend: BackendName, server: LeasedServer, slots: int, settings: Settings) -> Endpoint:
    """Of a server that is leased. Its slots are shared by a file beside it."""
    return Endpoint(
        backend=backend,
        url=server.url,
        slots=slots,
        ledger=FileStore.of(settings.home, server.url),
        started=server.started,
        owned=True,
        lease=server.lease,
        status=partial(_status, settings.home, server.url, settings.idle_minutes),
    )


async def _status(home: Path, url: str, idle_minutes: float) -> ServerStatus:
    for server in local_servers(home):
        if server.url == url and server.stops_at is not None:
            return ServerStatus("none", f"stops at {clock(server.stops_at)}")
    return ServerStatus("in use", f"stops {idle_minutes:g} min after its last use")
