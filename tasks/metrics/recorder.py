"""Counts a run while it goes: looks each second, sends each minute, in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from tasks.core.errors import HearthError
from tasks.core.events import RunWarning, emit
from tasks.metrics import names
from tasks.metrics.aggregate import Aggregate, Snapshot
from tasks.metrics.listener import PageMetrics
from tasks.metrics.live import LiveFile, LiveRun, LiveServer
from tasks.runs.cost_tracker import CostTracker
from tasks.serving.server_pool import Server, Servers
from tasks.settings.settings import Settings

_LOOK_SECONDS = 1.0
_LAST_SECONDS = 5.0
"""How long the end of a run waits for the last numbers to be sent."""


class Sink(Protocol):
    """Where numbers go."""

    name: str

    def publish(self, snapshot: Snapshot) -> None:
        """Send what was counted since the last time. Called in the recorder's thread.

        Args:
            snapshot: all that the run has counted so far.

        Raises:
            HearthError: it cannot be sent; it is not sent again.
        """
        ...


@dataclass(frozen=True)
class Identity:
    """Whose numbers they are.

    Attributes:
        name: what is read, and where, for people.
        pool: on AWS, or the backend's name where there is none.
    """

    name: str
    backend: str
    pool: str
    model: str


class Recorder:
    """Listens to one run and tells its numbers to sinks, until `close`.

    Args:
        identity: whose they are.
        servers: that it reads on; they are looked at each second.
        books: what their machines have cost.
        settings: how often sinks are told, and where the run shows how it goes.
        sinks: makes them, in the recorder's thread.
    """

    def __init__(
        self,
        identity: Identity,
        servers: Servers,
        books: CostTracker,
        settings: Settings,
        sinks: Callable[[], Sequence[Sink]],
    ) -> None:
        self._identity = identity
        self._servers = servers
        self._books = books
        self._aggregate = Aggregate()
        self._file = LiveFile(settings.home)
        self._flush_seconds = settings.metrics.flush_seconds
        self._make_sinks = sinks
        self._sinks: list[Sink] = []
        self._warned: set[str] = set()
        self._seen_usd = self._usd = 0.0  # what its machines have cost, and its part of it
        self._part = 1.0  # until it has seen who else uses them
        self._started = time.time()
        self._done = threading.Event()
        self._context = copy_context()
        self._thread = threading.Thread(target=self._run, name="hearth-metrics", daemon=True)
        self.hear = PageMetrics(self._aggregate)

    def open(self) -> None:
        """Begin; cautions are told in this context."""
        self._context = copy_context()
        self._thread.start()

    async def close(self) -> None:
        """Send what is left, for at most some seconds, and end."""
        self._done.set()
        await asyncio.to_thread(self._thread.join, _LAST_SECONDS)
        self._file.remove()

    def _run(self) -> None:
        try:
            self._sinks = list(self._make_sinks())
        except HearthError as error:
            self._caution("where HEARTH_METRICS__* says", str(error))
        flush_at = time.monotonic() + self._flush_seconds
        while not self._done.wait(_LOOK_SECONDS):
            self._look()
            if time.monotonic() >= flush_at:
                flush_at = time.monotonic() + self._flush_seconds
                self._flush()
        self._look(last=True)
        self._file.remove()
        self._flush()

    def _look(self, *, last: bool = False) -> None:
        """Note how things are, and show it."""
        now = self._servers.now
        servers = [_live(server) for server in now]
        in_flight, slots = sum(each.in_flight for each in servers), sum(each.slots for each in servers)
        if servers and not last:
            self._aggregate.see(names.IN_FLIGHT, in_flight)
            self._aggregate.see(names.SLOTS, slots)
            if slots and self.hear.asked > self.hear.done + in_flight:  # else idle slots are no waste
                self._aggregate.see(names.SLOT_USE, min(100.0, 100 * in_flight / slots))
        if servers and not last:
            self._part = fmean(1 / server.share.runs for server in now)
        usd = self._books.usd
        if usd > self._seen_usd:
            own = self._part * (usd - self._seen_usd)
            self._aggregate.count(names.DOLLARS, own)
            self._usd += own
            self._seen_usd = usd
        if not last:
            with suppress(OSError):  # the pages are told by their own means that there is no room
                self._file.write(self._told(servers))

    def _told(self, servers: Sequence[LiveServer]) -> LiveRun:
        heard, latency = self.hear, self.hear.latency()
        pages_a_minute, tokens_a_second = heard.rates()
        return LiveRun(
            name=self._identity.name,
            backend=self._identity.backend,
            pool=self._identity.pool,
            model=self._identity.model,
            host=platform.node(),
            pid=os.getpid(),
            started_at=self._started,
            at=time.time(),
            stage=heard.stage,
            asked=heard.asked,
            done=heard.done,
            failed=heard.failed,
            pages_a_minute=round(pages_a_minute, 1),
            tokens_a_second=round(tokens_a_second, 1),
            p50=latency and round(latency[0], 3),
            p95=latency and round(latency[1], 3),
            usd=round(self._usd, 6),
            servers=tuple(servers),
        )

    def _flush(self) -> None:
        snapshot = self._aggregate.snapshot()
        for sink in list(self._sinks):
            try:
                sink.publish(snapshot)
            except HearthError as error:
                # Once: who cannot be reached now may be later, but nobody wants to read it each minute.
                self._caution(sink.name, str(error))
            except Exception as error:  # noqa: BLE001 - numbers must not end a run
                self._sinks.remove(sink)
                self._caution(sink.name, f"{type(error).__name__}: {error}. No more are sent there.")

    def _caution(self, where: str, why: str) -> None:
        if where not in self._warned:
            self._warned.add(where)
            told = RunWarning(f"Metrics are lost that should go to {where}: {why} The pages go on.")
            self._context.copy().run(emit, told)


def _live(server: Server) -> LiveServer:
    share = server.share
    return LiveServer(
        url=server.client.url,
        in_flight=share.in_flight,
        slots=share.within_reach,
        most=share.capacity,
        limit=share.limit,
    )
