"""Pieces of machines' lives, summed up by day, document or machine. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from fractions import Fraction

from tasks.core.jobs import Frozen
from tasks.costs.attribution import Kind, Piece

NOBODY = "(nobody)"


class By(StrEnum):
    """What a bill's lines are."""

    DAY = "day"
    DOCUMENT = "document"
    MACHINE = "machine"


class Line(Frozen):
    """A line of a bill: seconds, and USD.

    Attributes:
        leased, boot, idle, minimum, stopped: see `tasks.costs.attribution.Kind`.
        usd: of machines and their addresses.
        idle_usd: the part of it that was idling and EC2's minimum.
        disk_usd: of disks, whether their machines ran or not.
        stopped_usd: the part of it while they did not.
        saved_usd: what it would have cost more on demand.
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
        """All of it."""
        return self.usd + self.disk_usd


class Bill(Frozen):
    """What was paid for, and why.

    Attributes:
        lines: by name, days in their order, the others the dearest first.
        provisional: machines still run, or are kept stopped, so that more comes.
        notes: what to know of the figures.
    """

    by: By
    since: datetime
    until: datetime
    lines: tuple[Line, ...]
    total: Line
    provisional: bool = False
    notes: tuple[str, ...] = ()


def make_bill(found: Iterable[Piece], by: By, since: datetime, until: datetime, notes: Iterable[str] = ()) -> Bill:
    """Sum up what was paid for from one time to another.

    Args:
        found: as `pieces` splits them, up to `until`.
        by: what lines are.
        since: what lies before is left out.
        until: when the pieces were split, for people.
        notes: on the figures, besides those that the pieces themselves give rise to.
    """
    start = round(since.timestamp() * 1000)
    sums: dict[str, _Sum] = {}
    total, without, guessed, live = _Sum(), set[str](), set[str](), False
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
            without.add(span.kind)
        if not span.exact:
            guessed.add(span.machine)
    return Bill(
        by=by,
        since=since,
        until=until,
        lines=_in_order((sums[name].line(name) for name in sums), by),
        total=total.line("total"),
        provisional=live,
        notes=(*_notes(without, guessed, live=live), *notes),
    )


def _in_order(lines: Iterable[Line], by: By) -> tuple[Line, ...]:
    """Sort days as they come, other lines by cost, the highest first, and by name where they cost the same."""
    by_name = sorted(lines, key=lambda line: line.name)
    return tuple(by_name if by is By.DAY else sorted(by_name, key=lambda line: -line.total_usd))


class _Sum:
    """Seconds exactly, dollars as they come."""

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
    """What of a piece lies after a time; EC2's minimum belongs to when the machine stopped."""
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


def _notes(without: Iterable[str], guessed: Iterable[str], *, live: bool) -> Iterator[str]:
    if names := sorted(without):
        yield f"The price is not known, and counted as nothing, of: {', '.join(names)}."
    if names := sorted(guessed):
        yield f"When these stopped is not known to the second: {', '.join(names)}."
    if live:
        yield "Machines still run, or are kept stopped: more is to come."
