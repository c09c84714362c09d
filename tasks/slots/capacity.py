"""How many requests a server serves at once: measured by one run while nobody else reads, told to all."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tasks.core.errors import HearthError
from tasks.slots.ledger import Ledger, Measured, knowing, measuring, not_measuring
from tasks.slots.store import LedgerStore


@dataclass(frozen=True)
class Count:
    """What a measurement found.

    Attributes:
        slots: requests that the server works on at once.
        sure: it cannot be more: others waited meanwhile, or as many as were sent were worked on.
        busy: others than Hearth's runs used the server.
    """

    slots: int
    sure: bool = True
    busy: bool = False


async def agreed_capacity(
    store: LedgerStore, what: str, asked: int, measure: Callable[[], Awaitable[Count]]
) -> Measured:
    """What the runs that use a server know of it; measured first if they know too little.

    The others begin no page meanwhile, and those under way are waited for: a busy server looks like a small one.

    Args:
        store: the server's ledger.
        what: is measured, such as the model: another's number may be another.
        asked: requests at once that the run would like to send.
        measure: measures it.

    Raises:
        HearthError: the ledger cannot be used; or what `measure` raised.
    """
    run = uuid.uuid4().hex[:12]

    def turn(ledger: Ledger) -> Ledger:
        ledger = ledger.live(store.now())
        return (
            ledger
            if _told(ledger, what, asked, store.server)
            else measuring(ledger, run, store.now() + store.lease_seconds)
        )

    while True:
        ledger = await store.change(turn)
        told = _told(ledger, what, asked, store.server)
        if told is not None:
            await store.change(lambda ledger: not_measuring(ledger, run))
            return told
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
    found = Measured(
        **{"what": what, "slots": count.slots, "asked": asked, "at": store.now(), "server": store.server},
        **{"sure": count.sure, "busy": count.busy},
    )
    await store.change(lambda ledger: knowing(not_measuring(ledger, run), found))
    return found


def _told(ledger: Ledger, what: str, asked: int, server: str) -> Measured | None:
    """What is known, if it is enough: more may be had only if the one who measured asked for less, and got it all.

    Of a server that was started anew nothing is known.
    """
    known = ledger.measured.get(what)
    if known is None or (server and known.server != server):
        return None
    return known if known.slots < known.asked or asked <= known.asked else None


@asynccontextmanager
async def _alone(store: LedgerStore, run: str) -> AsyncIterator[None]:
    """Keep the others away for as long as it takes."""

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
