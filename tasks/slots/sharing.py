"""How the slots of a server are shared among the runs that use it. Pure; nothing is read or sent.

Fair is max-min: the slots are dealt out one at a time to those who have the fewest and want more. Where a last round
does not go round, those come first that have never read a page, then those whose turn is not over, then those that have
waited longest. So a newcomer gets the next slot that comes free, and twenty runs take turns on eight slots.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.slots.ledger import Ledger, SlotClaim

TURN_SECONDS = 10.0
"""How long a run keeps a slot for which others wait: some pages, so that little is lost as slots change hands."""


_RENEWED_PART = 0.75
"""A claim is renewed when it has less than this part of its length left, not at every look."""


@dataclass(frozen=True)
class Need:
    """What a run tells the ledger of itself.

    Attributes:
        wants: slots that it could use now.
        in_flight: slots that it uses now.
        lease_seconds: how long its claim is to last.
        trouble_at: when it began the last request that found the server in trouble, seconds since the epoch; 0: none
            did. What began before the limit was changed says nothing of the new one.
        relief_at: when it began the first of some requests in a row that were served well; 0: there are not enough.
        begun: it has begun a page. One that lost its slot before it could use it is still a newcomer.
    """

    wants: int
    in_flight: int
    lease_seconds: float
    trouble_at: float = 0.0
    relief_at: float = 0.0
    begun: bool = False


def settled(ledger: Ledger, run: str, need: Need, now: float) -> tuple[Ledger, int]:
    """The ledger after a run has told what it needs, given back what is over its share and taken what is free of it.

    A slot in flight is given back when its page has ended, by a later call. A run whose claim had ended comes back
    with what it has in flight, though that may be more than is free: so many requests are on the server.

    Args:
        ledger: as it was read.
        run: the run's token.
        need: what it needs.
        now: seconds since the epoch.

    Returns:
        The ledger, and the run's share: it begins no page beyond it, though it may hold more for now.
    """
    ledger = _limited(ledger.live(now), need, now)
    mine = ledger.claims.get(run) or SlotClaim(wants=0, holds=need.in_flight, ends_at=now, came_at=now)
    renewed = mine.ends_at < now + need.lease_seconds * _RENEWED_PART
    ends_at = now + need.lease_seconds if renewed else mine.ends_at
    mine = mine.model_copy(update={"wants": need.wants, "ends_at": ends_at, "fed": mine.fed or need.begun})
    ledger = ledger.model_copy(update={"claims": {**ledger.claims, run: mine}})
    target = shares(ledger, now)[run]
    free = ledger.limit - ledger.held
    holds = holding(target, mine.holds, need.in_flight, free)
    if holds != mine.holds:
        mine = mine.model_copy(update={"holds": holds, "turned_at": now})
    # While more is held than there is, after a cut or by one who came back, what comes free is not used again.
    share = min(target, max(0, ledger.limit - (ledger.held - ledger.claims[run].holds)))
    return ledger.model_copy(update={"claims": {**ledger.claims, run: mine}}), share


def holding(target: int, holds: int, in_flight: int, free: int) -> int:
    """How many slots a run holds from now on: what is over its target and not in use goes, what is free of it comes."""
    return max(target, in_flight) if target < holds else holds + max(0, min(target - holds, free))


def shares(ledger: Ledger, now: float) -> dict[str, int]:
    """How many slots each run should hold: see the module. None while somebody measures the server."""
    dealt = dict.fromkeys(ledger.claims, 0)
    slots = 0 if ledger.measured_by else ledger.limit
    while slots > 0:
        asking = [run for run, claim in ledger.claims.items() if claim.wants > dealt[run]]
        if not asking:
            break
        if len(asking) > slots:
            # While somebody has never read a page, turns are over: the slots held longest come free soonest.
            newcomers = any(not claim.fed and claim.wants for claim in ledger.claims.values())
            turn = 0.0 if newcomers else TURN_SECONDS
            asking = sorted(asking, key=lambda run: _rank(ledger.claims[run], dealt[run], run, now - turn))[:slots]
        for run in asking:
            dealt[run] += 1
        slots -= len(asking)
    return dealt


def _rank(claim: SlotClaim, dealt: int, run: str, before: float) -> tuple[int, float, str]:
    """Who comes first where a round does not go round; turns that began `before` are over."""
    if dealt == 0 and not claim.fed:
        return 0, claim.came_at, run
    if claim.holds > dealt:
        return (3, -claim.turned_at, run) if claim.turned_at <= before else (1, claim.turned_at, run)
    return 2, claim.turned_at, run


def _limited(ledger: Ledger, need: Need, now: float) -> Ledger:
    limit = ledger.limit
    if need.trouble_at > ledger.limited_at:
        limit = min(limit, max(1, limit // 2))
    elif need.relief_at > ledger.limited_at:
        limit = min(ledger.capacity, limit + 1)
    return ledger if limit == ledger.limit else ledger.model_copy(update={"limit": limit, "limited_at": now})
