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
    """The measured capacity of a server, or of each replica, with one model: `slots` of the `asked` parallel requests.

    Attributes:
        what: the model, and what else may change the number.
        at: when, seconds since the epoch.
        server: identifies the server among others that ran at its address; empty if unknown.
        sure: whether it cannot serve more.
        busy: whether other clients than runs used the server meanwhile.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    what: str
    slots: int
    asked: int
    at: float
    server: str = ""
    sure: bool = True
    busy: bool = False


class Ledger(BaseModel):
    """The use of one server. Times are seconds since the epoch.

    Attributes:
        claims: by the run's token.
        measured: capacities of the server, or of each replica, by `what`.
        parts: replicas that serve now, such as tasks behind a load balancer.
        parts_at: when that number was seen; the latest of several runs' counts.
        limit: parallel requests that all runs may send; below the capacity while the server is in trouble.
        limited_at: when the limit changed last.
        measured_by: token of the run that measures the server, and must be alone for it; empty if none does.
        measured_until: when another run may measure.
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

        A time further ahead than any claim lasts is from a wrong clock, such as one that was a day fast: it becomes
        the end of the longest claim that begins now.
        """
        latest = now + _LONGEST_SECONDS
        claims = {
            run: claim if claim.ends_at <= latest else claim.model_copy(update={"ends_at": latest})
            for run, claim in self.claims.items()
            if claim.ends_at > now
        }
        measured = {what: m for what, m in self.measured.items() if claims or now - _FRESH_SECONDS < m.at <= latest}
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
    def held(self) -> int:
        """Slots that runs hold."""
        return sum(claim.holds for claim in self.claims.values())


def left(ledger: Ledger, run: str) -> Ledger:
    """Return the ledger without a run."""
    return ledger.model_copy(update={"claims": {other: c for other, c in ledger.claims.items() if other != run}})


def resized(ledger: Ledger, parts: int, seen_at: float) -> Ledger:
    """Return the ledger after a run has counted the server's replicas at a time; a later count stands.

    A new replica adds its slots at once, so that it has pages from the start; one that goes takes its slots away, and
    pages in flight on it may end.
    """
    if parts == ledger.parts or seen_at <= ledger.parts_at:
        return ledger
    limit = min(ledger.limit + max(0, parts - ledger.parts) * ledger.each, ledger.each * parts)
    return ledger.model_copy(update={"parts": parts, "parts_at": seen_at, "limit": limit})


def measuring(ledger: Ledger, run: str, until: float) -> Ledger:
    """Return the ledger with a run that measures the server, unless another does already."""
    if ledger.measured_by not in {"", run}:
        return ledger
    return ledger.model_copy(update={"measured_by": run, "measured_until": until})


def not_measuring(ledger: Ledger, run: str) -> Ledger:
    """Return the ledger after a run has finished measuring."""
    return ledger.model_copy(update={"measured_by": ""}) if ledger.measured_by == run else ledger


def knowing(ledger: Ledger, measured: Measured) -> Ledger:
    """Return the ledger with a measurement; those of an earlier server at the address are dropped."""
    others = {
        what: m for what, m in ledger.measured.items() if m.server in {"", measured.server} or not measured.server
    }
    ledger = ledger.model_copy(update={"measured": {**others, measured.what: measured}})
    return ledger.model_copy(update={"limit": ledger.capacity, "limited_at": measured.at})


def corrected(ledger: Ledger, what: str, slots: int, now: float) -> Ledger:
    """Return the ledger after pages have shown that the server serves another number of parallel requests."""
    known = ledger.measured.get(what)
    if known is None or known.slots == slots:
        return ledger
    return knowing(ledger, known.model_copy(update={"slots": slots, "asked": max(known.asked, slots), "at": now}))
