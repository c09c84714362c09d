"""The use of machines that no pool's ledger records, as the runs recorded it: ECS tasks and SageMaker instances.

`machines.jsonl` below the results has a line for each acquisition and another for each release; without the second the
run still reads, or was killed, and its cost is unknown. Where runs use a service at the same time, each records all of
its machines and their whole cost: here they share every second of it in equal parts, so that it is counted once.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise

from pydantic import Field, RootModel

from tasks.backends.base import Allocation
from tasks.backends.registry import BACKENDS
from tasks.core.errors import HearthError
from tasks.core.events import RunWarning, emit
from tasks.core.jobs import BackendName, Frozen
from tasks.costs.attribution import Kind, Piece, Rates, Span, Use, cut_times
from tasks.storage.files import StoragePath, entries, files_at

MACHINES = "machines.jsonl"
_NAMED = 3


class Taken(Frozen):
    """A line for an acquisition. Times are seconds since the epoch.

    Attributes:
        machine: the service's or endpoint's name, in its region.
    """

    backend: BackendName
    machine: str
    region: str = ""
    kind: str
    holder: str
    started: float

    @property
    def key(self) -> tuple[str, str, str, float]:
        """What an acquisition and its release have in common."""
        return self.region, self.machine, self.holder, self.started


class Held(Taken):
    """A line for a release.

    Attributes:
        boot: seconds from the start until it answered, if it was started for the run.
        usd: cost of all its machines meanwhile; None if their price is unknown.
    """

    ended: float
    boot: float = 0.0
    usd: float | None = None
    work: dict[str, float] = Field(default_factory=dict)

    @property
    def life(self) -> tuple[Span, Use]:
        """The machines while the run used them, and that use."""
        started, ready, ended = (round(at * 1000) for at in (self.started, self.started + self.boot, self.ended))
        kind = f"{self.kind} in {self.region}" if self.region else self.kind
        hourly = None if self.usd is None else self.usd * 3_600_000 / max(1, ended - started)
        span = Span(self.machine, kind, started, Rates(hourly), up=ready, ended=ended)
        return span, Use(self.machine, self.holder, self.holder, started, ended, self.work)


class _Entry(RootModel[Held | Taken]):
    """A line of either kind."""


@dataclass(frozen=True)
class Usage:
    """The use of machines as runs recorded it."""

    pieces: tuple[Piece, ...]
    notes: tuple[str, ...]


def note_taken(output: StoragePath, allocation: Allocation, holder: str) -> None:
    """Record an acquisition, unless a pool's ledger does."""
    taken = _taken(allocation, holder)
    if taken is not None:
        with suppress(HearthError):  # the release warns of that
            _append(output, taken)


def note_held(output: StoragePath, allocation: Allocation, holder: str, now: float) -> None:
    """Record a release, unless a pool's ledger does; warn if that fails."""
    taken, machine = _taken(allocation, holder), allocation.machine
    if taken is None or machine is None:
        return
    held = Held(
        **taken.model_dump(),
        ended=max(now, taken.started),
        boot=machine.boot_seconds,
        usd=None if machine.usd_per_hour is None else machine.usd_so_far(),
        work=allocation.lease.work,
    )
    try:
        _append(output, held)
    except HearthError as error:
        emit(RunWarning(f"`hearth cost` will lack this run: {error}"))


def _taken(allocation: Allocation, holder: str) -> Taken | None:
    machine = allocation.machine
    if machine is None or BACKENDS[allocation.backend].pieces is not None:
        return None
    return Taken(
        backend=allocation.backend,
        machine=machine.id,
        region=machine.region,
        kind=machine.kind,
        holder=holder,
        started=machine.since,
    )


def _append(output: StoragePath, entry: Taken) -> None:
    files = files_at(output)
    files.mkdir()
    files.append(MACHINES, entry.model_dump_json() + "\n")


def read_usage(output: StoragePath, since: datetime) -> Usage:
    """Read the use of machines since a time.

    Raises:
        HearthError: the results cannot be read.
    """
    lines = [entry.root for entry in entries(files_at(output), MACHINES, _Entry)]
    released = [line for line in lines if isinstance(line, Held)]
    billed = [line for line in released if line.ended > since.timestamp()]
    keys = {line.key for line in released}
    open_ends = [line for line in lines if line.key not in keys and line.started > since.timestamp()]
    pieces = tuple(_pieces(billed, round(since.timestamp() * 1000)))
    usd = sum(piece.usd for piece in pieces)
    return Usage(pieces, (*_notes(output, billed, usd), *_not_released(open_ends)))


def _pieces(released: Iterable[Held], since: int) -> Iterator[Piece]:
    """Split every service's use among its runs, from a time on, cut at midnights (UTC)."""
    by_service: dict[tuple[str, str], list[tuple[Span, Use]]] = {}
    for held in released:
        by_service.setdefault((held.region, held.machine), []).append(held.life)
    for lives in by_service.values():
        edges = [edge for span, _ in lives for edge in (span.started, span.up or 0, span.ended or 0)]
        coming = sorted(lives, key=lambda life: -life[0].started)
        here: list[tuple[Span, Use]] = []
        for start, end in pairwise(cut_times(max(since, min(edges)), max(edges), edges)):
            while coming and coming[-1][0].started <= start:
                here.append(coming.pop())
            here = [(span, use) for span, use in here if (span.ended or 0) > start]
            for span, use in here:
                kind = Kind.BOOT if start < (span.up or 0) else Kind.LEASED
                yield Piece(span, kind, start, end, use, Fraction(end - start, 1000 * len(here)))


def _not_released(taken: Sequence[Taken]) -> Iterator[str]:
    if taken:
        runs = "1 run that still reads, or was" if len(taken) == 1 else f"{len(taken)} runs that still read, or were"
        names = ", ".join(
            f"{run.holder} (on {run.machine}, since {datetime.fromtimestamp(run.started, UTC):%Y-%m-%d %H:%M} UTC)"
            for run in sorted(taken, key=lambda run: -run.started)[:_NAMED]
        )
        more = f" and {len(taken) - _NAMED} more" if len(taken) > _NAMED else ""
        yield f"Not in it: {runs} killed: {names}{more}."


def _notes(output: StoragePath, released: Sequence[Held], usd: float) -> Iterator[str]:
    if not released:
        return
    backends = sorted({held.backend for held in released})
    yield (
        f"USD {usd:.4f} of {' and '.join(backends)} is what runs reckoned themselves, on demand, while they held the "
        f"machines ({output}/{MACHINES})."
    )
    for backend in backends:
        if (known := BACKENDS.get(backend)) is not None and known.not_billed is not None:
            yield known.not_billed()
