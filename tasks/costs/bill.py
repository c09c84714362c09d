"""The bill: the cost of pieces of machines' lives by day, document or machine. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from fractions import Fraction

from tasks.core.jobs import Frozen
from tasks.costs.attribution import Kind, Piece

NOBODY = "(nobody)"


class By(StrEnum):
    """The meaning of a bill's lines."""

    DAY = "day"
    DOCUMENT = "document"
    MACHINE = "machine"


class Line(Frozen):
    """A line of a bill: seconds, and USD.

    Attributes:
        leased, boot, idle, minimum, stopped: seconds by `tasks.costs.attribution.Kind`.
        usd: cost of machines and their addresses.
        idle_usd: part of `usd` for idling and EC2's minimum.
        disk_usd: cost of disks, whether their machines ran or not.
        stopped_usd: part of `disk_usd` while machines were stopped.
        saved_usd: additional cost if the machines had been on demand.
    """

    name: str
    leased: float = 0.0
    boot: float = 0.0
    idle: float = 0.0
    minimum: float = 0.0
    stopped: float = 0.0
    usd: float = 0.0
    idle_usd: float = 0.0
    disk_usd: float = 0.0
    stopped_usd: float = 0.0
    saved_usd: float = 0.0

    @property
    def total_usd(self) -> float:
        """Cost of machines and disks."""
        return self.usd + self.disk_usd


class Bill(Frozen):
    """The cost of a period.

    Attributes:
        lines: days in order; documents and machines by descending cost.
        provisional: whether machines still run or are kept stopped, so that more cost will follow.
        notes: sentences about the figures.
    """

    by: By
    since: datetime
    until: datetime
    lines: tuple[Line, ...]
    total: Line
    provisional: bool = False
    notes: tuple[str, ...] = ()


def make_bill(found: Iterable[Piece], by: By, since: datetime, until: datetime, notes: Iterable[str] = ()) -> Bill:
    """Sum up the cost of a period: that of pieces of machines' lives from `since` on. Earlier pieces are left out.

    `until` is for display. The notes follow those that the pieces give rise to.
    """
    start = round(since.timestamp() * 1000)
    sums: dict[str, _Sum] = {}
    total, without_price, inexact, live = _Sum(), set[str](), set[str](), False
    for whole in found:
        piece = _from(whole, start)
        if piece is None:
            continue
        total.add(piece, Fraction(1))
        for name, part in _names(piece, by):
            sums.setdefault(name, _Sum()).add(piece, part)
        span = piece.span
        live = live or span.ended is None or (span.keeps_disk and span.kept_until is None)
        if span.rates.machine is None:
            without_price.add(span.kind)
        if not span.exact:
            inexact.add(span.machine)
    lines = [sums[name].line(name) for name in sums]
    return Bill(
        by=by,
        since=since,
        until=until,
        lines=tuple(sorted(lines, key=lambda line: (0 if by is By.DAY else -line.total_usd, line.name))),
        total=total.line("total"),
        provisional=live,
        notes=(*_notes(without_price, inexact, live=live), *notes),
    )


class _Sum:
    """Sums by kind: seconds as exact fractions, dollars as floats."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(Kind, Fraction(0))
        self._usd = dict.fromkeys(Kind, 0.0)
        self._disk = dict.fromkeys(Kind, 0.0)
        self._saved = 0.0

    def add(self, piece: Piece, part: Fraction) -> None:
        self._seconds[piece.kind] += piece.seconds * part
        self._usd[piece.kind] += piece.usd * float(part)
        self._disk[piece.kind] += piece.disk_usd * float(part)
        self._saved += piece.saved_usd * float(part)

    def line(self, name: str) -> Line:
        return Line(
            name=name,
            **{kind.value: float(seconds) for kind, seconds in self._seconds.items()},
            usd=sum(self._usd.values()),
            idle_usd=self._usd[Kind.IDLE] + self._usd[Kind.MINIMUM],
            disk_usd=sum(self._disk.values()),
            stopped_usd=self._disk[Kind.STOPPED],
            saved_usd=self._saved,
        )


def _from(piece: Piece, start: int) -> Piece | None:
    """Return the part of a piece after a time; EC2's minimum counts when the machine stopped."""
    if piece.end <= start or (piece.kind is Kind.MINIMUM and piece.start < start):
        return None
    if piece.start >= start:
        return piece
    return replace(piece, start=start, seconds=piece.seconds * Fraction(piece.end - start, piece.end - piece.start))


def _names(piece: Piece, by: By) -> Iterator[tuple[str, Fraction]]:
    match by:
        case By.DAY:
            yield f"{datetime.fromtimestamp(piece.start / 1000, UTC):%Y-%m-%d}", Fraction(1)
        case By.MACHINE:
            yield f"{piece.span.machine} ({piece.span.kind})", Fraction(1)
        case By.DOCUMENT if piece.use is None:
            yield NOBODY, Fraction(1)
        case By.DOCUMENT:
            yield from piece.use.documents().items()


def _notes(without_price: Iterable[str], inexact: Iterable[str], *, live: bool) -> Iterator[str]:
    if names := sorted(without_price):
        yield f"The price is unknown, and counted as nothing, of: {', '.join(names)}."
    if names := sorted(inexact):
        yield f"The exact stop time is unknown for: {', '.join(names)}."
    if live:
        yield "Machines still run, or are kept stopped: more cost will follow."
