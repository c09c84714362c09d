"""The objects of a simulation: runs, machines, and the seats of runs on machines."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from heapq import nsmallest
from math import inf

from tasks.backends.ec2.machine import Machine, MachineState, Market, Notice
from tasks.leasing.lease import Lease, Record
from tasks.slots.ledger import Ledger, SlotClaim
from tasks.slots.sharing import holding, shares

CONFIG = "simulated"
_MINIMUM_SECONDS = 60.0  # that EC2 bills each time a machine runs


@dataclass(eq=False, slots=True)
class Run:
    """A run.

    Attributes:
        waiting: pages that have not begun.
        left: pages that are not read yet.
        first_at: time at which its first page began.
    """

    number: int
    pages: int
    came_at: float
    waiting: int
    left: int
    first_at: float = inf
    seats: dict[str, Seat] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Seat:
    """A run on a machine: its lease, and its claim in the machine's slot ledger."""

    run: Run
    host: Host
    lease: Lease
    came_at: float
    holds: int = 0
    in_flight: int = 0
    fed: bool = False
    turned_at: float = 0.0

    def claim(self, slots: int) -> SlotClaim:
        """Return the claim for the ledger; it is not validated because millions are created."""
        wants = min(slots, self.in_flight + self.run.waiting)
        return SlotClaim.model_construct(
            wants=wants, holds=self.holds, ends_at=inf, came_at=self.came_at, fed=self.fed, turned_at=self.turned_at
        )


@dataclass(slots=True)
class Block:
    """Consecutive pages that one slot reads."""

    seat: Seat
    pages: int
    began: float
    seconds: float


@dataclass(eq=False, slots=True)
class Host:
    """A machine.

    Attributes:
        turn: number of its starts, by which events of an earlier start are ignored.
        even: whether nothing has changed since its slots were shared out, and no run waits for a turn.
    """

    machine: Machine
    slots: int
    made_at: float
    on_since: float
    turn: int = 0
    warm: bool = False
    even: bool = False
    busy: int = 0
    released_at: float = 0.0
    stopped_at: float = 0.0
    seats: dict[str, Seat] = field(default_factory=dict)
    blocks: dict[int, Block] = field(default_factory=dict)

    @classmethod
    def launched(cls, number: int, now: float, slots: int, *, spot: bool) -> Host:
        """Return a new machine that is booting."""
        market = Market.SPOT if spot else Market.ON_DEMAND
        machine = Machine(
            id=f"m{number:06d}",
            pool=CONFIG,
            state=MachineState.PENDING,
            type=CONFIG,
            market=market,
            zone="",
            launched_at=now,
            private_ip=None,
            public_ip=None,
            config=CONFIG,
            stage="",
            notice=None,
            spot_request=None,
        )
        return cls(machine, slots, made_at=now, on_since=now)

    @property
    def record(self) -> Record:
        """The leases of the machine, as the retention policy reads them."""
        leases = tuple(seat.lease for seat in self.seats.values())
        return Record(self.machine.id, leases, released_at=self.released_at, stopped_at=self.stopped_at)

    @property
    def on(self) -> bool:
        """Whether it is paid for."""
        return self.machine.state in {MachineState.PENDING, MachineState.RUNNING}

    @property
    def reading(self) -> bool:
        """Whether pages may begin on it."""
        return self.warm and self.machine.notice is None

    def become(self, state: MachineState) -> None:
        """Change the machine's state."""
        self.machine = replace(self.machine, state=state)

    def start(self, now: float) -> None:
        """Start the stopped machine again."""
        self.machine = replace(self.machine, state=MachineState.PENDING, launched_at=now)
        self.on_since, self.stopped_at = now, 0.0

    def switch_off(self, now: float, state: MachineState) -> float:
        """Stop running, and return the seconds that are billed."""
        self.become(state)
        self.turn += 1
        self.warm = False
        return max(_MINIMUM_SECONDS, now - self.on_since)

    def take_notice(self, at: float) -> None:
        """Note that the spot market takes the machine back at a time."""
        self.machine = replace(self.machine, notice=Notice(at, "spot-interruption"))
        self.even = False

    def seat(self, run: Run, now: float) -> None:
        """Give a run a lease."""
        key = str(run.number)
        seat = Seat(run, self, Lease(key, self.slots, inf, token=key), now)
        self.seats[key] = run.seats[self.machine.id] = seat
        self.even = False

    def leave(self, run: Run, now: float) -> None:
        """End a run's lease; its pages in flight may finish."""
        self.seats.pop(str(run.number), None)
        run.seats.pop(self.machine.id, None)
        self.released_at = now
        self.even = False

    def deal(self, now: float) -> list[Seat]:
        """Share the slots out as the slot ledger does, and return the seats that may begin pages."""
        if len(self.seats) == 1:
            (seat,) = self.seats.values()
            seat.holds = self.slots - (self.busy - seat.in_flight)  # runs that left may still have pages in flight
            self.even = seat.run.waiting > 0
            return [seat] if seat.run.waiting and seat.in_flight < seat.holds else []
        seats = self._contenders()
        ledger = Ledger.model_construct(
            claims={seat.lease.token: seat.claim(self.slots) for seat in seats},
            limit=self.slots,
            measured={},
            measured_by="",
        )
        targets = shares(ledger, now)
        self.even = len(self.seats) <= self.slots
        left_behind = self.busy - sum(seat.in_flight for seat in seats)
        free = self.slots - left_behind - sum(seat.holds for seat in seats)
        # A free slot goes to the run that has waited longest; in the product, to the first of them that looks.
        for seat in sorted(seats, key=lambda seat: (targets[seat.lease.token] - seat.holds, seat.fed, seat.turned_at)):
            target = targets[seat.lease.token]
            holds = holding(target, seat.holds, seat.in_flight, free)
            free -= holds - seat.holds
            if holds != seat.holds:
                seat.holds, seat.turned_at = holds, now
            self.even &= holds == target
        return [seat for seat in seats if seat.run.waiting and seat.in_flight < seat.holds]

    def _contenders(self) -> list[Seat]:
        """Return the seats that may get a slot: in a crowd, only these can rank first."""
        seats = list(self.seats.values())
        if len(seats) <= 4 * self.slots:
            return seats
        none = [seat for seat in seats if not seat.holds and seat.run.waiting]
        newcomers = nsmallest(self.slots, (seat for seat in none if not seat.fed), key=lambda seat: seat.came_at)
        others = nsmallest(self.slots, (seat for seat in none if seat.fed), key=lambda seat: seat.turned_at)
        return [*(seat for seat in seats if seat.holds or seat.in_flight), *newcomers, *others]
