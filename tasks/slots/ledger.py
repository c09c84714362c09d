"""A server's ledger: which runs use its slots, and what was measured of it. Pure; nothing is read or sent."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError

_FRESH_SECONDS = 30.0
_LONGEST_SECONDS = 60.0
"""No claim lasts longer, whatever its store."""


class SlotClaim(BaseModel):
    """A run's part in a ledger.

    Attributes:
        wants: slots that it could use now.
        holds: slots that it may use.
        ends_at: when others may take what it holds, seconds since the epoch; it moves on while the run lives.
        came_at: when it came, seconds since the epoch.
        fed: it has begun a page.
        turned_at: when `holds` changed last, seconds since the epoch.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    wants: int
    holds: int = 0
    ends_at: float
    came_at: float
    fed: bool = False
    turned_at: float = 0.0


class Measured(BaseModel):
    """What was found of a server, or each of its parts, with one model: `slots` of the `asked` requests at once.

    Attributes:
        what: the model, and what else may change the number.
        at: when, seconds since the epoch.
        server: tells a server from others that ran at its address; empty if that is not known.
        sure: it cannot serve more.
        busy: others than runs used the server meanwhile.
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
    """The use of one server.

    Attributes:
        claims: by the run's token.
        measured: what was found of the server, or of each of its parts, by `what`.
        parts: equal parts of the server that serve now, such as tasks behind a load balancer.
        parts_at: when that was seen to be so, seconds since the epoch; of two runs, who has seen it later is right.
        limit: requests that are sent at once just now; fewer than it serves while the server is in trouble.
        limited_at: when the limit changed last, seconds since the epoch.
        measured_by: who measures the server, and must be alone for it; empty if nobody does.
        measured_until: when others may, seconds since the epoch.
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
        """A ledger as it was written; an empty one if it makes no sense, for another version of Hearth wrote it."""
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return cls()

    def live(self, now: float) -> Ledger:
        """Without what has ended; a server that nobody has used for a while may be another by now.

        What lies further ahead than any claim was made by another clock, such as one that was a day fast: it ends as
        the longest claim that begins now.
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
        """Requests that the server serves at once; 0 while nobody knows."""
        return self.each * self.parts

    @property
    def each(self) -> int:
        """Requests that each of its parts serves at once; 0 while nobody knows."""
        return max((measured.slots for measured in self.measured.values()), default=0)

    @property
    def held(self) -> int:
        """Slots that somebody holds."""
        return sum(claim.holds for claim in self.claims.values())


def left(ledger: Ledger, run: str) -> Ledger:
    """The ledger without a run."""
    return ledger.model_copy(update={"claims": {other: c for other, c in ledger.claims.items() if other != run}})


def resized(ledger: Ledger, parts: int, seen_at: float) -> Ledger:
    """The ledger after a run has seen, at that time, how many parts the server has; what was seen later stands.

    A part that comes adds its slots at once, so that it has pages from the start; one that goes takes its own away, and
    pages in flight on it may end.
    """
    if parts == ledger.parts or seen_at <= ledger.parts_at:
        return ledger
    limit = min(ledger.limit + max(0, parts - ledger.parts) * ledger.each, ledger.each * parts)
    return ledger.model_copy(update={"parts": parts, "parts_at": seen_at, "limit": limit})


def measuring(ledger: Ledger, run: str, until: float) -> Ledger:
    """The ledger with the server to be measured by a run, unless another does already."""
    if ledger.measured_by not in {"", run}:
        return ledger
    return ledger.model_copy(update={"measured_by": run, "measured_until": until})


def not_measuring(ledger: Ledger, run: str) -> Ledger:
    """The ledger after a run has ended to measure."""
    return ledger.model_copy(update={"measured_by": ""}) if ledger.measured_by == run else ledger


def knowing(ledger: Ledger, measured: Measured) -> Ledger:
    """The ledger with what was found of the server; what was found of an earlier one at its address is forgotten."""
    others = {
        what: m for what, m in ledger.measured.items() if m.server in {"", measured.server} or not measured.server
    }
    ledger = ledger.model_copy(update={"measured": {**others, measured.what: measured}})
    return ledger.model_copy(update={"limit": ledger.capacity, "limited_at": measured.at})


def corrected(ledger: Ledger, what: str, slots: int, now: float) -> Ledger:
    """The ledger after pages have shown that the server works on another number of requests at once."""
    known = ledger.measured.get(what)
    if known is None or known.slots == slots:
        return ledger
    return knowing(ledger, known.model_copy(update={"slots": slots, "asked": max(known.asked, slots), "at": now}))
