"""The capacity of a server: measured by one run while no other reads, and shared with all."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass

from tasks.core.errors import HearthError
from tasks.slots.ledger import Ledger, Measured, knowing, measuring, not_measuring
from tasks.slots.store import LedgerStore


@dataclass(frozen=True)
class Count:
    """The result of a measurement.

    Attributes:
        slots: parallel requests that the server works on.
        sure: it cannot be more: other requests waited meanwhile, or the server worked on all that were sent.
        busy: other clients than Hearth's runs used the server.
    """

    slots: int
    sure: bool = True
    busy: bool = False


async def agreed_capacity(
    store: LedgerStore, what: str, asked: int, measure: Callable[[], Awaitable[Count]]
) -> Measured:
    """Return the capacity of a server as its runs know it; measure it first if they know too little.

    Other runs start no page meanwhile, and pages in flight are waited for: a busy server looks like a small one. `what`
    is the model, and what else may change the number; the run wants to send `asked` parallel requests.

    Raises:
        HearthError: the ledger cannot be used; or what `measure` raised.
    """
    run = uuid.uuid4().hex[:12]

    def claim(ledger: Ledger) -> Ledger:
        ledger = ledger.live(store.now())
        if _known(ledger, what, asked, store.server):
            return ledger
        return measuring(ledger, run, store.now() + store.lease_seconds)

    while True:
        ledger = await store.change(claim)
        if (known := _known(ledger, what, asked, store.server)) is not None:
            await store.change(lambda ledger: not_measuring(ledger, run))
            return known
        if ledger.measured_by == run and ledger.held == 0:
            break
        await asyncio.sleep(store.poll_seconds)
    try:
        async with _alone(store, run):
            count = await measure()
    except BaseException:
        with suppress(HearthError):
            await store.change(lambda ledger: not_measuring(ledger, run))
        raise
    measured = Measured(what=what, asked=asked, at=store.now(), server=store.server, **asdict(count))
    await store.change(lambda ledger: knowing(not_measuring(ledger, run), measured))
    return measured


def _known(ledger: Ledger, what: str, asked: int, server: str) -> Measured | None:
    """Return the known capacity if it is enough: a run that sent fewer requests, and had all served, knows too little.

    Nothing is known of a server that was restarted.
    """
    known = ledger.measured.get(what)
    if known is None or (server and known.server != server):
        return None
    return known if known.slots < known.asked or asked <= known.asked else None


@asynccontextmanager
async def _alone(store: LedgerStore, run: str) -> AsyncIterator[None]:
    """Keep other runs from the server meanwhile."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(store.lease_seconds / 4)
            with suppress(HearthError):
                await store.change(lambda ledger: measuring(ledger, run, store.now() + store.lease_seconds))

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
