"""What a machine's seconds were for: each of its life is split exactly among leases, boot and idling. Pure.

Times are whole milliseconds since the epoch, and parts of them fractions, so that nothing is lost by rounding.

- A second in which leases hold the machine is shared by them in equal parts, its boot included: who waits for it pays.
- Seconds of a boot in which nobody holds it yet belong to whoever comes first: it was started for them.
- A second in which nobody does belongs to whoever held the machine last: it waits, or keeps its disk, on their account.
- Other seconds, and those of machines that nobody ever leased, belong to nobody.

What a second was for never changes once the machine is up, whoever comes later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

MINIMUM_MS = 60_000
"""EC2 bills Linux machines for a minute at least (https://aws.amazon.com/ec2/pricing/on-demand/)."""
DAY_MS = 86_400_000


class Kind(StrEnum):
    """What a piece of a machine's life was for."""

    LEASED = "leased"
    BOOT = "boot"
    IDLE = "idle"
    MINIMUM = "minimum"
    """Not lived, but billed: what a run shorter than EC2's minimum lacks to it."""
    STOPPED = "stopped"
    """Only the disk is paid for."""


RUNNING = (Kind.LEASED, Kind.BOOT, Kind.IDLE)
"""Kinds that make up a machine's running life."""


@dataclass(frozen=True)
class Rates:
    """USD an hour.

    Attributes:
        machine: while it runs; None if its price is not known.
        on_demand: what the same would cost on demand; None if that is not known.
        address: of a public IPv4 address, while it runs.
        disk: while it exists.
        launch: USD once, at the start: filling a new disk from its snapshot at a rate that is paid for.
    """

    machine: float | None
    on_demand: float | None = None
    address: float = 0.0
    disk: float = 0.0
    launch: float = 0.0


@dataclass(frozen=True)
class Span:
    """A machine from a start to its stop.

    Attributes:
        machine: its id.
        kind: such as `g4dn.xlarge spot in us-east-1a`.
        started: when EC2 started it.
        up: when Ollama first answered somebody; None if it never did, or nobody asked.
        seen: when it was last known to run.
        ended: when it stopped; None while it runs.
        kept_until: until when its disk was kept after that; None: as long as nothing else is known.
        why: it stopped; empty if that is not known.
        exact: whether `ended` is known, and not only that it was between two looks.
        keeps_disk: it was stopped, and not terminated.
    """

    machine: str
    kind: str
    started: int
    rates: Rates
    up: int | None = None
    seen: int = 0
    ended: int | None = None
    kept_until: int | None = None
    why: str = ""
    exact: bool = True
    keeps_disk: bool = False


@dataclass(frozen=True)
class Use:
    """A lease as it was.

    Attributes:
        holder: whose, for people.
        ended: None while it is held.
        work: page seconds of each document that was read under it.
    """

    machine: str
    token: str
    holder: str
    started: int
    ended: int | None = None
    work: Mapping[str, float] = field(default_factory=dict, hash=False)

    def documents(self) -> dict[str, Fraction]:
        """Each document's part of it; the holder's name stands for a lease under which nothing was read."""
        seconds = {name: Fraction(part) for name, part in self.work.items() if part > 0}
        total = sum(seconds.values(), Fraction(0))
        return {name: part / total for name, part in seconds.items()} if total else {self.holder: Fraction(1)}


@dataclass(frozen=True)
class Piece:
    """A part of a machine's life that one lease, or nobody, has to bear.

    Attributes:
        use: the lease; None if nobody's.
        seconds: its part of the time from `start` to `end`.
    """

    span: Span
    kind: Kind
    start: int
    end: int
    use: Use | None
    seconds: Fraction

    @property
    def usd(self) -> float:
        """Of the machine and its address; 0 as far as its price is not known."""
        if self.kind is Kind.STOPPED:
            return 0.0
        return float(self.seconds) * ((self.span.rates.machine or 0.0) + self.span.rates.address) / 3600

    @property
    def disk_usd(self) -> float:
        """Of its disk, and of filling it, which the first piece of a machine's life bears."""
        rate, first = self.span.rates, self.start == self.span.started
        share = self.seconds * 1000 / (self.end - self.start)
        filling = float(share) * rate.launch if first else 0.0
        return filling if self.kind is Kind.MINIMUM else filling + float(self.seconds) * rate.disk / 3600

    @property
    def saved_usd(self) -> float:
        """What it would have cost more on demand."""
        rates = self.span.rates
        if self.kind is Kind.STOPPED or rates.machine is None or rates.on_demand is None:
            return 0.0
        return float(self.seconds) * (rates.on_demand - rates.machine) / 3600


def pieces(spans: Iterable[Span], uses: Iterable[Use], now: int) -> Iterator[Piece]:
    """Split the lives of machines, in the order of their ids and of time, cut at midnights (UTC)."""
    by_machine: dict[str, list[Span]] = {}
    for span in spans:
        by_machine.setdefault(span.machine, []).append(span)
    leases: dict[str, list[Use]] = {}
    for use in uses:
        leases.setdefault(use.machine, []).append(use)
    for machine, lives in sorted(by_machine.items()):
        yield from _life(sorted(lives, key=lambda span: span.started), leases.get(machine, ()), now)


def _life(spans: Sequence[Span], uses: Sequence[Use], now: int) -> Iterator[Piece]:
    """One machine's, from its first start to the end of its disk."""
    for span, following in zip(spans, [*spans[1:], None], strict=True):
        horizon = max(span.started, now if following is None else min(now, following.started))
        ended = horizon if span.ended is None else min(max(span.ended, span.started), horizon)
        yield from _running(span, uses, ended, now)
        if span.ended is None:
            continue
        if ended - span.started < MINIMUM_MS:
            yield from _shared(span, Kind.MINIMUM, ended, span.started + MINIMUM_MS, _last(uses, ended, now))
        if span.keeps_disk:
            kept = horizon if span.kept_until is None else min(span.kept_until, horizon)
            for start, end in pairwise(cut_times(ended, kept, ())):
                yield from _shared(span, Kind.STOPPED, start, end, _last(uses, start, now))


def _running(span: Span, uses: Sequence[Use], ended: int, now: int) -> Iterator[Piece]:
    edges = [edge for use in uses for edge in (use.started, _end(use, now))]
    up = _up(span, uses, ended, now)
    for start, end in pairwise(cut_times(span.started, ended, [*edges, up])):
        holders = [use for use in uses if use.started <= start and _end(use, now) >= end]
        kind = Kind.BOOT if end <= up else Kind.LEASED if holders else Kind.IDLE
        others = _first(uses, span.started, ended, now) if kind is Kind.BOOT else _last(uses, start, now)
        yield from _shared(span, kind, start, end, holders or others)


def _up(span: Span, uses: Sequence[Use], ended: int, now: int) -> int:
    """When its boot was over. One that never got up boots for as long as somebody waits for it."""
    if span.up is not None:
        return span.up
    return max((_end(use, now) for use in uses if use.started < ended and _end(use, now) > span.started), default=0)


def _first(uses: Sequence[Use], started: int, ended: int, now: int) -> list[Use]:
    """Whoever held the machine first after a start."""
    came = [use for use in uses if use.started < ended and _end(use, now) > started]
    first = min((use.started for use in came), default=0)
    return [use for use in came if use.started == first]


def _last(uses: Sequence[Use], at: int, now: int) -> list[Use]:
    """Whoever held the machine last, and gave it back at the same time."""
    past = [use for use in uses if use.started < at and _end(use, now) <= at]
    latest = max((_end(use, now) for use in past), default=0)
    return [use for use in past if _end(use, now) == latest]


def _end(use: Use, now: int) -> int:
    return max(use.started, now if use.ended is None else min(use.ended, now))


def cut_times(start: int, end: int, edges: Iterable[int]) -> list[int]:
    """Return two times with the edges and midnights (UTC) between them, ascending."""
    midnights = range((start // DAY_MS + 1) * DAY_MS, end, DAY_MS)
    return sorted({start, end, *(edge for edge in (*edges, *midnights) if start < edge < end)}) if end > start else []


def _shared(span: Span, kind: Kind, start: int, end: int, uses: Sequence[Use]) -> Iterator[Piece]:
    if end <= start:
        return
    whose: Sequence[Use | None] = uses or (None,)
    part = Fraction(end - start, 1000 * len(whose))
    for use in whose:
        yield Piece(span, kind, start, end, use, part)
