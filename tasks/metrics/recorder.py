"""The recorder of a run's metrics: it samples every second and sends every minute, in a thread of its own."""

import asyncio
import os
import platform
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from statistics import fmean

from tasks.core.errors import HearthError
from tasks.core.events import RunWarning, emit
from tasks.metrics import names
from tasks.metrics.aggregate import Aggregate
from tasks.metrics.listener import PageMetrics
from tasks.metrics.live import LiveFile, LiveRun, LiveServer
from tasks.metrics.sinks import Identity, Sink
from tasks.runs.cost_tracker import CostTracker
from tasks.serving.server_pool import Server, Servers
from tasks.settings.settings import Settings

SAMPLE_SECONDS = 1.0
FINAL_SECONDS = 5.0
"""How long the end of a run waits until its last metrics are sent."""


class Recorder:
    """Listens to one run and publishes its metrics to sinks, until `close`. Its servers are sampled every second.

    The sinks are created in the recorder's thread.
    """

    def __init__(
        self,
        identity: Identity,
        servers: Servers,
        costs: CostTracker,
        settings: Settings,
        sinks: Callable[[], Sequence[Sink]],
    ) -> None:
        self._identity = identity
        self._servers = servers
        self._costs = costs
        self._aggregate = Aggregate()
        self._file = LiveFile(settings.home)
        self._flush_seconds = settings.metrics.flush_seconds
        self._make_sinks = sinks
        self.sinks: list[Sink] = []
        self._warned: set[str] = set()
        self._seen_usd = self._usd = 0.0  # cost of its machines, and its part of it
        self._part = 1.0  # until the first sample of who else uses them
        self._started = time.time()
        self._done = threading.Event()
        self._context = copy_context()
        self._thread = threading.Thread(target=self._run, name="hearth-metrics", daemon=True)
        self.hear = PageMetrics(self._aggregate)

    def open(self) -> None:
        """Start; warnings are emitted in this context."""
        self._context = copy_context()
        self._thread.start()

    async def close(self) -> None:
        """Send the last metrics, for a few seconds at most, and stop."""
        self._done.set()
        await asyncio.to_thread(self._thread.join, FINAL_SECONDS)
        self._file.remove()

    def _run(self) -> None:
        try:
            self.sinks = list(self._make_sinks())
        except HearthError as error:
            self._warn("the sinks of HEARTH_METRICS__*", str(error))
        flush_at = time.monotonic() + self._flush_seconds
        while not self._done.wait(SAMPLE_SECONDS):
            self.sample()
            if time.monotonic() >= flush_at:
                flush_at = time.monotonic() + self._flush_seconds
                self.flush()
        self.sample(last=True)
        self._file.remove()
        self.flush()

    def sample(self, *, last: bool = False) -> None:
        """Sample the servers and the costs, and update the live file."""
        now = self._servers.now
        servers = [_live(server) for server in now]
        in_flight, slots = sum(each.in_flight for each in servers), sum(each.slots for each in servers)
        if servers and not last:
            self._aggregate.add(names.IN_FLIGHT, in_flight)
            self._aggregate.add(names.SLOTS, slots)
            self._aggregate.add(names.UNPROVEN, sum(each.unproven for each in servers))
            if slots and self.hear.asked > self.hear.done + in_flight:  # otherwise idle slots are not wasted
                self._aggregate.add(names.SLOT_USE, min(100.0, 100 * in_flight / slots))
            self._part = fmean(1 / server.share.runs for server in now)
        usd = self._costs.usd
        if usd > self._seen_usd:
            own = self._part * (usd - self._seen_usd)
            self._aggregate.add(names.DOLLARS, own)
            self._usd += own
            self._seen_usd = usd
        if not last:
            with suppress(OSError):  # storing the pages reports that there is no room
                self._file.write(self._live_run(servers))

    def _live_run(self, servers: Sequence[LiveServer]) -> LiveRun:
        counted, latency, first = self.hear, self.hear.latency(), self.hear.first_token()
        pages_a_minute, tokens_a_second = counted.rates()
        return LiveRun(
            name=self._identity.name,
            backend=self._identity.backend,
            pool=self._identity.pool,
            model=self._identity.model,
            host=platform.node(),
            pid=os.getpid(),
            started_at=self._started,
            at=time.time(),
            stage=counted.stage,
            asked=counted.asked,
            done=counted.done,
            failed=counted.failed,
            pages_a_minute=round(pages_a_minute, 1),
            tokens_a_second=round(tokens_a_second, 1),
            p50=latency and latency.median,
            p95=latency and latency.p95,
            first_p50=first and first.median,
            first_p95=first and first.p95,
            usd=round(self._usd, 6),
            servers=tuple(servers),
        )

    def flush(self) -> None:
        """Send a snapshot of the metrics to the sinks."""
        snapshot = self._aggregate.snapshot()
        for sink in list(self.sinks):
            try:
                sink.publish(snapshot)
            except HearthError as error:
                # Warn once; the sink may be reachable again in the next minute.
                self._warn(sink.name, str(error))
            except Exception as error:  # noqa: BLE001 - numbers must not end a run
                self.sinks.remove(sink)
                self._warn(sink.name, f"{type(error).__name__}: {error}. No more are sent there.")

    def _warn(self, where: str, why: str) -> None:
        if where not in self._warned:
            self._warned.add(where)
            self._context.copy().run(emit, RunWarning(f"Metrics for {where} are lost: {why} Reading continues."))


def _live(server: Server) -> LiveServer:
    share = server.share
    unproven = 0 if share.measured.proven else max(0, share.within_reach - server.seen.most)
    return LiveServer(
        url=server.client.url,
        in_flight=share.in_flight,
        slots=share.within_reach,
        most=share.capacity,
        limit=share.limit,
        unproven=unproven,
    )
