"""A server's ledger: which runs use its slots, and its measured capacity. Pure; nothing is read or sent."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError

_FRESH_SECONDS = 30.0
_LONGEST_SECONDS = 60.0
"""The longest that a claim lasts, in any store."""


class SlotClaim(BaseModel):
    """A run's claim to slots. Times are seconds since the epoch.

    Attributes:
        wants: slots that it could use now.
        holds: slots that it may use.
        ends_at: when other runs may take its slots; it moves on while the run lives.
        fed: whether it has started a page.
        turned_at: when `holds` changed last.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    wants: int
    holds: int = 0
    ends_at: float
    came_at: float
    fed: bool = False
    turned_at: float = 0.0


class Measured(BaseModel):
    """The capacity of a server, or of each replica, with one model: `slots` of the `asked` parallel requests.

    Attributes:
        what: the model, and what else may change the number.
        at: when, seconds since the epoch.
        server: identifies the server among others that ran at its address; empty if unknown.
        sure: whether it cannot serve more; otherwise pages try it out.
        seen: whether the server was seen working on so many.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    what: str
    slots: int
    asked: int
    at: float
    server: str = ""
    sure: bool = True
    seen: bool = False

    @property
    def proven(self) -> bool:
        """Whether the server stated the number or pages have shown it; otherwise it is only the number requested."""
        return self.sure or self.seen


class Ledger(BaseModel):
    """The use of one server. Times are seconds since the epoch.

    Attributes:
        claims: by the run's token.
        measured: capacities of the server, or of each replica, by `what`.
        parts: replicas that serve now, such as tasks behind a load balancer.
        parts_at: when that number was seen; the latest of several runs' counts.
        limit: parallel requests that all runs may send; below the capacity while the server is in trouble.
        limited_at: when the limit changed last.
        measured_by: token of a run that is alone on the server, as runs of version 0.1 are while they measure it.
        measured_until: when that ends at the latest.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    claims: Mapping[str, SlotClaim] = {}
    measured: Mapping[str, Measured] = {}
    parts: int = 1
    parts_at: float = 0.0
    limit: int = 0
    limited_at: float = 0.0
    measured_by: str = ""
    measured_until: float = 0.0

    @classmethod
    def read(cls, text: str | bytes) -> Ledger:
        """Return a ledger as it was written, or an empty one if another version of Hearth wrote it differently."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return cls()

    def live(self, now: float) -> Ledger:
        """Return the ledger without what has ended; a server that was idle for a while may be another by now.

        Nothing tells whether it was restarted, unless it is identified. A time further ahead than any claim lasts is
        from a wrong clock, such as one that was a day fast: it becomes the end of the longest claim that begins now.
        """
        latest = now + _LONGEST_SECONDS
        claims = {
            run: claim if claim.ends_at <= latest else claim.model_copy(update={"ends_at": latest})
            for run, claim in self.claims.items()
            if claim.ends_at > now
        }
        measured = {
            what: m for what, m in self.measured.items() if claims or m.server or now - _FRESH_SECONDS < m.at <= latest
        }
        update: dict[str, object] = {"claims": claims, "measured": measured}
        update |= {name: now for name in ("limited_at", "parts_at") if getattr(self, name) > latest}
        if self.measured_until > latest:
            update["measured_until"] = latest
        if self.measured_until <= now:
            update |= {"measured_by": "", "measured_until": 0.0}
        return self.model_copy(update=update)

    @property
    def capacity(self) -> int:
        """Parallel requests that the server serves; 0 while unknown."""
        return self.each * self.parts

    @property
    def each(self) -> int:
        """Parallel requests that each replica serves; 0 while unknown."""
        return max((measured.slots for measured in self.measured.values()), default=0)

    @property
    def proven(self) -> bool:
        """Whether `each` is proven."""
        return any(m.proven for m in self.measured.values() if m.slots == self.each)

    @property
    def held(self) -> int:
        """Slots that runs hold."""
        return sum(claim.holds for claim in self.claims.values())


def left(ledger: Ledger, run: str, now: float | None = None) -> Ledger:
    """Return the ledger without a run, which used the server until now; None if that is not known."""
    claims = {other: claim for other, claim in ledger.claims.items() if other != run}
    ledger = ledger.model_copy(update={"claims": claims})
    if now is None:
        return ledger
    measured = {what: m.model_copy(update={"at": max(m.at, now)}) for what, m in ledger.measured.items()}
    return ledger.model_copy(update={"measured": measured})


def resized(ledger: Ledger, parts: int, seen_at: float) -> Ledger:
    """Return the ledger after a run has counted the server's replicas at a time; a later count stands.

    A new replica adds its slots at once, so that it has pages from the start; one that goes takes its slots away, and
    pages in flight on it may end.
    """
    if parts == ledger.parts or seen_at <= ledger.parts_at:
        return ledger
    limit = min(ledger.limit + max(0, parts - ledger.parts) * ledger.each, ledger.each * parts)
    return ledger.model_copy(update={"parts": parts, "parts_at": seen_at, "limit": limit})


def beginning(ledger: Ledger, first: Measured) -> Ledger:
    """Return the ledger with the number that a run begins with, unless it knows enough of the same server.

    A run that sent fewer requests, and had all served, knows too little.
    """
    known = ledger.measured.get(first.what)
    if known is None or (first.server and known.server != first.server):
        return knowing(ledger, first)
    return ledger if known.slots < known.asked or first.asked <= known.asked else knowing(ledger, first)


def knowing(ledger: Ledger, measured: Measured) -> Ledger:
    """Return the ledger with a measurement; those of an earlier server at the address are dropped."""
    others = {
        what: m for what, m in ledger.measured.items() if m.server in {"", measured.server} or not measured.server
    }
    ledger = ledger.model_copy(update={"measured": {**others, measured.what: measured}})
    return ledger.model_copy(update={"limit": ledger.capacity, "limited_at": measured.at})


def corrected(ledger: Ledger, what: str, slots: int, now: float, *, seen: bool = True) -> Ledger:
    """Return the ledger after pages have shown, or are to try, how many parallel requests the server serves."""
    known = ledger.measured.get(what)
    if known is None or (known.slots, known.seen) == (slots, seen):
        return ledger
    asked = max(known.asked, slots)
    after = known.model_copy(update={"slots": slots, "asked": asked, "at": now, "seen": seen})
    if known.slots == slots:
        return ledger.model_copy(update={"measured": {**ledger.measured, what: after}})
    return knowing(ledger, after)
