"""Shares of a server's slots."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tasks.slots.allocation import SlotAllocation
from tasks.slots.ledger import Measured
from tasks.slots.store import LedgerStore

SLOTS = 4


def measured(slots: int = SLOTS) -> Measured:
    return Measured(what="model", slots=slots, asked=slots, at=time.time())


@asynccontextmanager
async def sharing(store: LedgerStore, most: int = SLOTS) -> AsyncIterator[SlotAllocation]:
    share = SlotAllocation(store, most, measured(), lambda: None)
    await share.open()
    try:
        yield share
    finally:
        await share.close()


def in_use(share: SlotAllocation, slots: int) -> None:
    for _ in range(slots):
        share.take()
