"""The pages of a simulation: begun in the slots that their run holds, read there, or cut off with a machine."""

from __future__ import annotations

from abc import abstractmethod

from tasks.costs.assumptions import Assumptions
from tasks.simulation.hosts import Block, Host, Run
from tasks.simulation.machines import Machines
from tasks.simulation.scenario import Clock, Physics, Policy, Rules


class Pages(Machines):
    """Pages and their events, in blocks of one or of several neighbours.

    Args:
        clock: says how long a block takes.
        most_in_block: pages that one event may stand for.
    """

    def __init__(
        self, rules: Rules, given: Assumptions, physics: Physics, clock: Clock, seed: int, most_in_block: int
    ) -> None:
        super().__init__(rules, given, physics, seed)
        self._clock, self._most_in_block = clock, most_in_block
        self._reading: dict[int, Run] = {}
        self._waiting = 0

    @abstractmethod
    def _end(self, now: float, run: Run) -> None:
        """A run has read its last page."""

    def _deal(self, now: float, host: Host) -> None:
        if self._rules.policy in {Policy.SERVICE, Policy.ALWAYS_ON}:
            self._take_over(now, host)
        if host.seats and host.reading:
            for seat in host.deal(now):
                self._feed(now, seat.run)

    def _take_over(self, now: float, host: Host) -> None:
        """A machine with free slots takes pages of runs that are read elsewhere."""
        spare = self._slots - host.busy - sum(seat.run.waiting for seat in host.seats.values())
        if spare <= 0:
            return
        for run in self._reading.values():
            if run.waiting and host.machine.id not in run.seats:
                host.seat(run, now)
                spare -= run.waiting
                if spare <= 0:
                    return

    def _feed(self, now: float, run: Run) -> None:
        """Begin pages of a run wherever it has slots, on the least loaded machine first."""
        open_seats = [seat for seat in run.seats.values() if seat.in_flight < seat.holds and seat.host.reading]
        while run.waiting and open_seats:
            seat = min(open_seats, key=lambda seat: seat.in_flight) if len(open_seats) > 1 else open_seats[0]
            self._begin(now, seat.host, str(run.number))
            if seat.in_flight >= seat.holds:
                open_seats.remove(seat)

    def _begin(self, now: float, host: Host, key: str) -> None:
        seat = host.seats[key]
        run = seat.run
        pages = max(1, min(self._most_in_block, run.waiting // (2 * self._slots * len(run.seats))))
        run.waiting -= pages
        self._waiting -= pages
        run.first_at = min(run.first_at, now)
        seat.in_flight += 1
        seat.fed = True
        host.busy += 1
        self.meter.slots.change(now, 1)
        seconds = self._clock.seconds(pages, host.busy)
        number = next(self._sequence)
        host.blocks[number] = Block(seat, pages, now, seconds)
        self._at(now + seconds, self._done, host, number)

    def _done(self, now: float, host: Host, number: int) -> None:
        block = host.blocks.pop(number, None)
        if block is None:  # its machine had gone
            return
        seat = block.seat
        seat.in_flight -= 1
        host.busy -= 1
        self.meter.slots.change(now, -1)
        if not self._read(now, seat.run, block.pages):
            return
        if seat.run.waiting and host.even and host.seats.get(str(seat.run.number)) is seat:
            self._begin(now, host, str(seat.run.number))
        elif host.reading:
            self._deal(now, host)

    def _read(self, now: float, run: Run, pages: int) -> bool:
        """Note that pages were read; whether the run goes on."""
        run.left -= pages
        if run.left or run.number not in self._reading:
            return run.left > 0
        self._end(now, run)
        return False

    def _cut(self, now: float, blocks: list[Block]) -> None:
        """Blocks were cut off: what was read of them stands, and a page that was under way is read again."""
        for block in blocks:
            read = min(block.pages - 1, int(block.pages * (now - block.began) / block.seconds))
            self.meter.again += 1
            self._read(now, block.seat.run, read)
            block.seat.run.waiting += block.pages - read
            self._waiting += block.pages - read
        for run in dict.fromkeys(block.seat.run for block in blocks):
            self._feed(now, run)
