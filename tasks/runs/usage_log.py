"""What runs held that no pool's ledger knows of: ECS tasks and SageMaker instances, as the runs noted it.

`machines.jsonl` below the results has a line for what was taken and another for what was given back; without the second
the run reads still, or was killed, and what it costs is not known. Where runs held the same service at once, each saw
all of its machines, and all of their cost: here every second of it is shared by them in equal parts, so that it is
counted once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from pydantic import Field, RootModel

from tasks.backends.base import Allocation
from tasks.core.errors import HearthError
from tasks.core.events import RunWarning, emit
from tasks.core.jobs import BackendName, Frozen
from tasks.costs.assumptions import DAY_SECONDS
from tasks.costs.bill import Bill, By, Line, sort_lines, unpriced_notes
from tasks.costs.rates import HOURS_A_MONTH, balancer_usd_per_hour
from tasks.storage.files import StoragePath, entries, files_at

MACHINES = "machines.jsonl"
_LEDGERED = {BackendName.EC2}
"""Backends whose machines a pool's ledger knows, to the millisecond."""
_NAMED = 3
_NOT_IN_IT = {
    BackendName.ECS: "Not in it: ECS's load balancer (USD {balancer:.2f} a month in us-east-1, used or not), disks, "
    "and machines after a run.",
    BackendName.SAGEMAKER: "Not in it: SageMaker's copies that are kept, and instances until AWS scales them in.",
}


class Taken(Frozen):
    """What a run took. Times are seconds since the epoch.

    Attributes:
        machine: the service's or allocation's name, in its region.
    """

    backend: BackendName
    machine: str
    region: str = ""
    kind: str
    holder: str
    started: float

    @property
    def key(self) -> tuple[str, str, str, float]:
        """By which it is known again when it is given back."""
        return self.region, self.machine, self.holder, self.started


class Held(Taken):
    """What a run held, and gave back.

    Attributes:
        boot: seconds from the start until it answered, if it was started for the run.
        usd: of all its machines meanwhile; None if their price is not known.
        work: page seconds of each document.
    """

    ended: float
    boot: float = 0.0
    usd: float | None = None
    work: dict[str, float] = Field(default_factory=dict)

    @property
    def documents(self) -> dict[str, float]:
        """Each one's part; the holder's name stands for a run that read nothing."""
        total = sum(self.work.values())
        return {name: seconds / total for name, seconds in self.work.items()} if total else {self.holder: 1.0}


class _Entry(RootModel[Held | Taken]):
    """A line, which is of the one kind or the other."""


def note_taken(output: StoragePath, allocation: Allocation, holder: str) -> None:
    """Write down what was just taken, if nobody else does."""
    taken = _taken(allocation, holder)
    if taken is not None:
        with suppress(HearthError):  # which is told when it is given back
            _append(output, taken)


def note_held(output: StoragePath, allocation: Allocation, holder: str, now: float) -> None:
    """Write down what was just given back, if nobody else does; if that cannot be, it is told of."""
    taken, machine = _taken(allocation, holder), allocation.machine
    if taken is None or machine is None:
        return
    held = Held(
        **taken.model_dump(),
        ended=max(now, taken.started),
        boot=machine.boot_seconds,
        usd=None if machine.usd_per_hour is None else machine.usd_so_far(),
        work=allocation.work,
    )
    try:
        _append(output, held)
    except HearthError as error:
        emit(RunWarning(f"`hearth cost` will lack this run: {error}"))


def _taken(allocation: Allocation, holder: str) -> Taken | None:
    machine = allocation.machine
    if machine is None or allocation.backend in _LEDGERED:
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


def held_bill(output: StoragePath, by: By, since: datetime) -> Bill:
    """Sum up what was held since a time.

    Raises:
        HearthError: the results cannot be read.
    """
    told = [entry.root for entry in entries(files_at(output), MACHINES, _Entry)]
    held = [each for each in told if isinstance(each, Held)]
    found = [each for each in held if each.ended > since.timestamp()]
    returned = {each.key for each in held}
    out = [each for each in told if each.key not in returned and each.started > since.timestamp()]
    sums: dict[str, _Sum] = {}
    total = _Sum()
    for part in _parts(found, since.timestamp()):
        total.add(part, 1.0)
        for name, share in _names(part, by):
            sums.setdefault(name, _Sum()).add(part, share)
    lines = sort_lines((sums[name].line(name) for name in sums), by)
    notes = (*_notes(output, found, total.usd), *_not_returned(out))
    return Bill(by=by, since=since, until=datetime.now(UTC), lines=lines, total=total.line("total"), notes=notes)


@dataclass(frozen=True, slots=True)
class _Part:
    held: Held
    start: float
    boot: bool
    seconds: float
    usd: float


@dataclass(slots=True)
class _Sum:
    leased: float = 0.0
    boot: float = 0.0
    usd: float = 0.0

    def add(self, part: _Part, share: float) -> None:
        if part.boot:
            self.boot += part.seconds * share
        else:
            self.leased += part.seconds * share
        self.usd += part.usd * share

    def line(self, name: str) -> Line:
        return Line(name=name, leased=self.leased, boot=self.boot, usd=self.usd)


def _parts(found: Iterable[Held], since: float) -> Iterator[_Part]:
    """Each run's parts of what it held, from a time on, cut at midnights (UTC)."""
    by_machine: dict[tuple[str, str], list[Held]] = {}
    for held in found:
        by_machine.setdefault((held.region, held.machine), []).append(held)
    for sharing in by_machine.values():
        edges = {edge for held in sharing for edge in (held.started, held.started + held.boot, held.ended)}
        first, last = min(edges), max(edges)
        midnights = (day * DAY_SECONDS for day in range(int(first // DAY_SECONDS) + 1, int(last // DAY_SECONDS) + 1))
        coming = sorted(sharing, key=lambda held: -held.started)
        here: list[Held] = []
        for start, end in pairwise(sorted({since, *edges, *midnights})):
            while coming and coming[-1].started <= start:
                here.append(coming.pop())
            here = [held for held in here if held.ended > start]
            if start < since:
                continue
            for held in here:
                seconds = (end - start) / len(here)
                usd = (held.usd or 0.0) * seconds / (held.ended - held.started)
                yield _Part(held, start, start < held.started + held.boot, seconds, usd)


def _names(part: _Part, by: By) -> Iterator[tuple[str, float]]:
    match by:
        case By.DAY:
            yield f"{datetime.fromtimestamp(part.start, UTC):%Y-%m-%d}", 1.0
        case By.MACHINE:
            where = f" in {part.held.region}" if part.held.region else ""
            yield f"{part.held.machine} ({part.held.kind}{where})", 1.0
        case By.DOCUMENT:
            yield from part.held.documents.items()


def _not_returned(taken: Sequence[Taken]) -> Iterator[str]:
    if taken:
        runs = "1 run that still reads, or was" if len(taken) == 1 else f"{len(taken)} runs that still read, or were"
        names = ", ".join(
            f"{each.holder} (on {each.machine}, since {datetime.fromtimestamp(each.started, UTC):%Y-%m-%d %H:%M} UTC)"
            for each in sorted(taken, key=lambda each: -each.started)[:_NAMED]
        )
        more = f" and {len(taken) - _NAMED} more" if len(taken) > _NAMED else ""
        yield f"Not in it: {runs} killed: {names}{more}."


def _notes(output: StoragePath, found: Sequence[Held], usd: float) -> Iterator[str]:
    if not found:
        return
    backends = sorted({held.backend for held in found})
    yield (
        f"USD {usd:.4f} of {' and '.join(backends)} is what runs reckoned themselves, on demand, while they held the "
        f"machines ({output}/{MACHINES})."
    )
    yield from unpriced_notes(held.kind for held in found if held.usd is None)
    for backend in backends:
        if backend in _NOT_IN_IT:
            yield _NOT_IN_IT[backend].format(balancer=balancer_usd_per_hour() * HOURS_A_MONTH)
