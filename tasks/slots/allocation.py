"""A run's share of a server's slots: claimed, kept and given back while the run reads."""

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import suppress

from tasks.core.clock import elapsed
from tasks.core.errors import HearthError
from tasks.core.replicas import Replicas
from tasks.slots.ledger import Ledger, Measured, corrected, knowing, left, resized
from tasks.slots.sharing import Need, settled
from tasks.slots.store import LedgerStore

_AGAIN_SECONDS = 1.0
_CLOSE_SECONDS = 10.0


class SlotAllocation:
    """The slots of one server that this run may use, `most` at most. Everything happens on one event loop.

    The number of slots follows the server's replicas.

    Attributes:
        changed: called when more slots may have come free, or what is known of their number has changed.
        in_flight: slots in use.
        measured: the capacity of the server, or of each replica, as its runs know it.
        runs: that use the server, with this one.
        served: parallel requests that the server is taken to work on, from all clients.
        limit: parallel requests that all runs may send now.
        limited_at: when that changed last, seconds since the epoch.
    """

    def __init__(
        self,
        store: LedgerStore,
        most: int,
        measured: Measured,
        changed: Callable[[], None] = lambda: None,
        parts: Replicas | None = None,
    ) -> None:
        self._store = store
        self._most = most
        self.measured = measured
        self.changed = changed
        self._parts = parts or Replicas()
        self.served = measured.slots * self._parts.count
        self._run = uuid.uuid4().hex[:12]
        self._waiting = most
        self._entered_wants = most
        self._holds = 0
        self._others = 0
        self._share = 0
        self._begun = False
        self._trouble_at = 0.0
        self._relief_at = 0.0
        self._correction: tuple[int, bool] | None = None
        self._valid_until = 0.0
        self._settled_at = 0.0
        self._stamp: object = None
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._keeping: asyncio.Task[None] | None = None
        self.in_flight = 0
        self.runs = 1
        self.limit = self.served
        self.limited_at = 0.0

    async def open(self) -> None:
        """Claim a first share.

        Raises:
            HearthError: the ledger cannot be used.
        """
        await self._settle()
        self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Give everything back. Never raises: what cannot be given back is free when the claim ends."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait({self._keeping})
        self._share = self._holds = 0
        with suppress(HearthError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                ledger = await self._store.change(lambda ledger: left(self._corrected(ledger), self._run, self.now()))
                self.measured = ledger.measured.get(self.measured.what, self.measured)

    def now(self) -> float:
        """Return the ledger's time, seconds since the epoch, for `trouble` and `relief`."""
        return self._store.now()

    @property
    def free(self) -> int:
        """Slots that may be taken now; none after the process was suspended until other runs may have them."""
        if elapsed() >= self._valid_until:
            self._wake.set()
            return 0
        return min(self._holds, self._share) - self.in_flight

    @property
    def within_reach(self) -> int:
        """Slots that this run has, or would get at once: those that no other run holds."""
        return max(self.in_flight, min(self.capacity, self.limit - self._others))

    @property
    def capacity(self) -> int:
        """Slots that this run uses at most."""
        return min(self._most, self.served)

    def take(self) -> None:
        """Use a slot; one must be free."""
        self.in_flight += 1
        self._idle.clear()
        if not self._begun:
            self._begun = True
            self._wake.set()  # while this run counts as a newcomer, the turns of others are short

    def give(self) -> None:
        """Give a slot back."""
        self.in_flight -= 1
        if not self.in_flight:
            self._idle.set()
        if self._holds > max(self._share, self.in_flight):
            self._wake.set()

    async def idle(self) -> None:
        """Wait until no slot is in use."""
        await self._idle.wait()

    def expect(self, waiting: int) -> None:
        """Set how many pages wait for a slot."""
        self._waiting = waiting
        wants = self._wants
        # Wanting fewer matters to other runs only.
        if wants > self._entered_wants or (wants < self._entered_wants and self.runs > 1):
            self._wake.set()

    def trouble(self, began: float) -> None:
        """Lower the limit, as a request that began then (seconds since the epoch) met a server in trouble."""
        self._trouble_at = max(self._trouble_at, began)
        self._wake.set()

    def relief(self, began: float) -> None:
        """Raise the limit by one, as all requests since the one that began then were served well."""
        if self.limit < self.served:
            self._relief_at = began
            self._wake.set()

    def correct(self, slots: int, *, seen: bool = True) -> None:
        """Correct the capacity of the server, or of each replica: it was seen to be so, or is tried."""
        self._correction = slots, seen
        self._wake.set()

    @property
    def _wants(self) -> int:
        return min(self.capacity, self.in_flight + self._waiting)

    async def _keep(self) -> None:
        while True:
            await self._until_changed()
            self._wake.clear()
            try:
                await self._settle()
            except HearthError:
                self._go_on_alone()
                await asyncio.sleep(min(_AGAIN_SECONDS, self._store.lease_seconds / 4))

    def _go_on_alone(self) -> None:
        """Keep the slots while the ledger is out of reach; others can probably not reach it either.

        Without any, one slot is used when all claims that this run knew of have ended: pages that waited for the ledger
        alone would never find out that the server is gone, too.
        """
        self._valid_until = elapsed() + self._store.lease_seconds
        if self._waiting and not self._holds and elapsed() >= self._settled_at + self._store.lease_seconds:
            self._holds = self._share = 1
        self.changed()

    async def _until_changed(self) -> None:
        """Wait until this run or the ledger may have changed, or long enough that turns and claims may have ended."""
        latest = time.monotonic() + 4 * self._store.watch_seconds
        while True:
            waits = self._holds < self._wants
            pause = self._store.poll_seconds if waits else self._store.watch_seconds
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            stamp = self._store.stamp()
            if self._wake.is_set() or stamp is None or stamp != self._stamp or time.monotonic() >= latest:
                return

    async def _settle(self) -> None:
        self._entered_wants = self._wants
        self._stamp = self._store.stamp()  # taken before the change, so that later writes are seen
        correction = self._correction
        ledger = await self._store.change(self._next)
        self.measured = ledger.measured.get(self.measured.what, self.measured)
        if self._correction == correction:
            self._correction = None
        claim = ledger.claims[self._run]
        self._holds = claim.holds
        self._others = ledger.held - claim.holds
        self._settled_at = elapsed()
        self._valid_until = self._settled_at + claim.ends_at - self.now()
        self.runs = len(ledger.claims)
        self.limit, self.limited_at, self.served = ledger.limit, ledger.limited_at, ledger.capacity
        self.changed()

    def _next(self, ledger: Ledger) -> Ledger:
        now = self.now()
        ledger = ledger.live(now)
        if self.measured.what not in ledger.measured:  # the ledger was lost
            ledger = knowing(ledger, self.measured.model_copy(update={"at": now}))
        ledger = resized(self._corrected(ledger), self._parts.count, self._parts.seen_at)
        lease = self._store.lease_seconds
        need = Need(self._wants, self.in_flight, lease, self._trouble_at, self._relief_at, self._begun)
        ledger, self._share = settled(ledger, self._run, need, now)
        # Slots that are about to be given back are not used from here on, whenever the ledger is written.
        self._holds = min(self._holds, ledger.claims[self._run].holds)
        return ledger

    def _corrected(self, ledger: Ledger) -> Ledger:
        if self._correction is None:
            return ledger
        slots, seen = self._correction
        return corrected(ledger, self.measured.what, slots, self.now(), seen=seen)
