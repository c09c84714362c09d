"""Cost attribution: every second of a machine's life is assigned to leases, boot or idling, exactly once. Pure.

Times are integer milliseconds since the epoch and shares are fractions, so that nothing is lost by rounding.

- Leases that hold the machine at the same time share each second equally, including its boot: whoever waits pays.
- Seconds of a boot before the first lease belong to that lease: the machine was started for it.
- A second without a lease belongs to the last lease: the machine idles, or keeps its disk, because of it.
- Other seconds, and those of machines that were never leased, belong to nobody.

Once the machine is up, the assignment of a second never changes, whatever leases follow.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

MINIMUM_MS = 60_000
"""EC2 bills Linux machines for at least a minute (https://aws.amazon.com/ec2/pricing/on-demand/)."""
DAY_MS = 86_400_000


class Kind(StrEnum):
    """The purpose of a piece of a machine's life."""

    LEASED = "leased"
    BOOT = "boot"
    IDLE = "idle"
    MINIMUM = "minimum"
    """Billed without running: the rest of EC2's minimum after a shorter life."""
    STOPPED = "stopped"
    """Only the disk is paid for."""


RUNNING = (Kind.LEASED, Kind.BOOT, Kind.IDLE)
"""The kinds of pieces while the machine runs."""


@dataclass(frozen=True)
class Rates:
    """Prices of a machine, USD per hour.

    Attributes:
        machine: price while it runs; None if unknown.
        on_demand: on-demand price of the same machine; None if unknown.
        address: price of a public IPv4 address while it runs.
        disk: price of the disk while it exists.
        launch: USD once, at the start: paid initialization of a new disk from its snapshot.
    """

    machine: float | None
    on_demand: float | None = None
    address: float = 0.0
    disk: float = 0.0
    launch: float = 0.0


@dataclass(frozen=True)
class Span:
    """A machine's life from a start to its stop.

    Attributes:
        machine: instance id.
        kind: description, such as `g4dn.xlarge spot in us-east-1a`.
        started: time at which EC2 started it.
        up: time of Ollama's first response; None if there was none.
        seen: last time at which it was known to run.
        ended: time at which it stopped; None while it runs.
        kept_until: time until which its disk was kept after the stop; None if its end is not known.
        why: reason for the stop; empty if unknown.
        exact: whether `ended` is the exact time rather than a time between two observations.
        keeps_disk: whether it was stopped rather than terminated.
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
    """The use of a machine under one lease.

    Attributes:
        holder: name of the holder for display.
        ended: None while the lease is held.
        work: page seconds of each document that was read under the lease.
    """

    machine: str
    token: str
    holder: str
    started: int
    ended: int | None = None
    work: Mapping[str, float] = field(default_factory=dict, hash=False)

    def documents(self) -> dict[str, Fraction]:
        """Return each document's share; the holder has the whole share if nothing was read."""
        seconds = {name: Fraction(part) for name, part in self.work.items() if part > 0}
        total = sum(seconds.values(), Fraction(0))
        return {name: part / total for name, part in seconds.items()} if total else {self.holder: Fraction(1)}


@dataclass(frozen=True)
class Piece:
    """A piece of a machine's life that is assigned to one lease or to nobody.

    Attributes:
        use: the lease; None for nobody.
        seconds: the lease's share of the time from `start` to `end`.
    """

    span: Span
    kind: Kind
    start: int
    end: int
    use: Use | None
    seconds: Fraction

    @property
    def usd(self) -> float:
        """Cost of the machine and its address; an unknown price counts as 0."""
        if self.kind is Kind.STOPPED:
            return 0.0
        return float(self.seconds) * ((self.span.rates.machine or 0.0) + self.span.rates.address) / 3600

    @property
    def disk_usd(self) -> float:
        """Cost of the disk; the first piece also bears the disk's initialization."""
        rate, first = self.span.rates, self.start == self.span.started
        share = self.seconds * 1000 / (self.end - self.start)
        filling = float(share) * rate.launch if first else 0.0
        return filling if self.kind is Kind.MINIMUM else filling + float(self.seconds) * rate.disk / 3600

    @property
    def saved_usd(self) -> float:
        """Additional cost of the same time on demand."""
        rates = self.span.rates
        if self.kind is Kind.STOPPED or rates.machine is None or rates.on_demand is None:
            return 0.0
        return float(self.seconds) * (rates.on_demand - rates.machine) / 3600


def pieces(spans: Iterable[Span], uses: Iterable[Use], now: int) -> Iterator[Piece]:
    """Split the lives of machines into pieces, ordered by machine and time, cut at midnight (UTC)."""
    by_machine: dict[str, list[Span]] = {}
    for span in spans:
        by_machine.setdefault(span.machine, []).append(span)
    leases: dict[str, list[Use]] = {}
    for use in uses:
        leases.setdefault(use.machine, []).append(use)
    for machine, lives in sorted(by_machine.items()):
        yield from _life(sorted(lives, key=lambda span: span.started), leases.get(machine, ()), now)


def _life(spans: Sequence[Span], uses: Sequence[Use], now: int) -> Iterator[Piece]:
    """Yield one machine's pieces from its first start to the end of its disk."""
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
    """Return the end of the boot; a machine that never came up boots until the last lease ends."""
    if span.up is not None:
        return span.up
    return max((_end(use, now) for use in uses if use.started < ended and _end(use, now) > span.started), default=0)


def _first(uses: Sequence[Use], started: int, ended: int, now: int) -> list[Use]:
    """Return the leases that held the machine first after a start."""
    came = [use for use in uses if use.started < ended and _end(use, now) > started]
    first = min((use.started for use in came), default=0)
    return [use for use in came if use.started == first]


def _last(uses: Sequence[Use], at: int, now: int) -> list[Use]:
    """Return the leases that were returned last before a time, several if at the same moment."""
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
