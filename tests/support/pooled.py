"""Servers as a run has them while it reads: joined, with shares of their slots, and given up when they fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tasks.core.interruption import Interruption
from tasks.ollama.client import OllamaClient
from tasks.serving.latency_tracker import LatencyTracker
from tasks.serving.server_pool import Server, Servers
from tasks.settings.reading import ReadSettings
from tasks.slots.allocation import SlotAllocation
from tasks.slots.ledger import Measured
from tasks.slots.store import FileStore
from tests.support.ollama.wire import DIGEST
from tests.support.waiting import PATIENCE


@asynccontextmanager
async def pooled(
    *urls: str, home: Path, slots: int = 2, settings: ReadSettings | None = None
) -> AsyncIterator[tuple[Servers, list[Server]]]:
    """Servers at these addresses, each with so many slots. When all have failed, whoever waits is told why."""
    settings = settings or ReadSettings()
    servers, joined = Servers(), []
    measured = Measured(what="the model", slots=slots, asked=slots, at=time.time())
    async with AsyncExitStack() as stack:
        for url in urls:
            client = await stack.enter_async_context(OllamaClient(url, timeout=PATIENCE))
            share = SlotAllocation(FileStore.of(home, url), slots, measured, servers.deal)
            await share.open()
            stack.push_async_callback(share.close)
            server = Server(client, DIGEST, share, LatencyTracker(settings, 4096), Interruption())
            servers.join(server)
            joined.append(server)
        ending = asyncio.create_task(_ended(servers, joined))
        try:
            yield servers, joined
        finally:
            ending.cancel()


async def _ended(servers: Servers, joined: list[Server]) -> None:
    for server in joined:
        why = await asyncio.wrap_future(server.failure)
    await servers.end(why)
