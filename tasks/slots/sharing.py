"""How the slots of a server are shared among the runs that use it. Pure; nothing is read or sent.

Sharing is max-min fair: slots are dealt one at a time to the runs that have the fewest and want more. If the last round
has too few, runs that have never read a page come first, then those whose turn is not over, then those that have waited
longest. So a newcomer gets the next free slot, and twenty runs take turns on eight slots.
"""

from dataclasses import dataclass

from tasks.slots.ledger import Ledger, SlotClaim

TURN_SECONDS = 10.0
"""How long a run keeps a slot that others wait for: some pages, so that little time is lost as slots change hands."""
_RENEWED_PART = 0.75
"""A claim is renewed when less than this share of its length is left, not at every look."""


@dataclass(frozen=True)
class Need:
    """What a run needs of a server. Times are seconds since the epoch.

    Attributes:
        lease_seconds: length of its claim.
        trouble_at: start of its last request that met a server in trouble; 0: none did. A request from before the last
            change of the limit says nothing of the new one.
        relief_at: start of the first of enough requests in a row that were served well; 0: there are too few.
        begun: whether it has started a page. A run that lost its slot unused is still a newcomer.
    """

    wants: int
    in_flight: int
    lease_seconds: float
    trouble_at: float = 0.0
    relief_at: float = 0.0
    begun: bool = False


def settled(ledger: Ledger, run: str, need: Need, now: float) -> tuple[Ledger, int]:
    """Return the ledger after a run has entered its need, given back what exceeds its share and taken what is free.

    A slot in flight is given back by a later call, when its page has ended. A run whose claim had ended comes back with
    its slots in flight, even if fewer are free: their requests are on the server.

    Returns:
        The ledger, and the run's share: it starts no page beyond it, even if it holds more for now.
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
    # While more is held than there is, after a cut or by a run that came back, slots that come free are not used.
    share = min(target, max(0, ledger.limit - (ledger.held - ledger.claims[run].holds)))
    return ledger.model_copy(update={"claims": {**ledger.claims, run: mine}}), share


def holding(target: int, holds: int, in_flight: int, free: int) -> int:
    """Return how many slots a run holds next: unused ones above its target go, free ones below it come."""
    return max(target, in_flight) if target < holds else holds + max(0, min(target - holds, free))


def shares(ledger: Ledger, now: float) -> dict[str, int]:
    """Return how many slots each run should hold: see the module. None get any while a run measures the server."""
    dealt = dict.fromkeys(ledger.claims, 0)
    slots = 0 if ledger.measured_by else ledger.limit
    while slots > 0:
        asking = [run for run, claim in ledger.claims.items() if claim.wants > dealt[run]]
        if not asking:
            break
        if len(asking) > slots:
            # While a run has never read a page, all turns are over: the slots held longest come free soonest.
            newcomers = any(not claim.fed and claim.wants for claim in ledger.claims.values())
            turn = 0.0 if newcomers else TURN_SECONDS
            asking = sorted(asking, key=lambda run: _rank(ledger.claims[run], dealt[run], run, now - turn))[:slots]
        for run in asking:
            dealt[run] += 1
        slots -= len(asking)
    return dealt


def _rank(claim: SlotClaim, dealt: int, run: str, before: float) -> tuple[int, float, str]:
    """Return the sort key of a run when a round has too few slots; turns that began `before` are over."""
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
