"""A ledger, and the claims of runs on it."""

from __future__ import annotations

from typing import Any

from tasks.slots.ledger import Ledger, Measured, SlotClaim, knowing
from tasks.slots.sharing import Need, settled

LEASE = 10.0


def known(slots: int, at: float = 0.0) -> Ledger:
    return knowing(Ledger(), Measured(what="model", slots=slots, asked=slots, at=at))


def need(wants: int, in_flight: int = 0, **more: Any) -> Need:
    return Need(wants, in_flight, LEASE, **more)


def after(ledger: Ledger, *runs: tuple[str, Need], now: float = 1.0) -> Ledger:
    for run, needed in runs:
        ledger, _ = settled(ledger, run, needed, now)
    return ledger


def holds(ledger: Ledger) -> dict[str, int]:
    return {run: claim.holds for run, claim in ledger.claims.items()}


def claim(wants: int = 8, held: int = 0, *, came: float = 0, turned: float = 0, fed: bool = True) -> SlotClaim:
    return SlotClaim(wants=wants, holds=held, ends_at=1000, came_at=came, fed=fed, turned_at=turned)
