"""The machines of a simulation and the pages that they read.

Machines boot, serve, stop, and are interrupted by the spot market. Pages are read in the slots that their run holds, as
blocks of one or several neighbours, or cut off when their machine ends.
"""

import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from heapq import heappush
from math import inf

from tasks.backends.ec2.machine import MachineState
from tasks.backends.ec2.policy import Action, Limits, retention_policy
from tasks.costs.assumptions import Assumptions
from tasks.simulation.hosts import Block, Host, Run
from tasks.simulation.outcome import Meter
from tasks.simulation.scenario import Clock, Physics, Policy, Rules


class Machines(ABC):
    """Machines with their pages, and the events of both, each of which stands for at most `max_block` pages.

    `meter` counts what the simulation does.
    """

    def __init__(
        self, rules: Rules, given: Assumptions, physics: Physics, clock: Clock, seed: int, max_block: int
    ) -> None:
        self._rules, self._given, self._physics = rules, given, physics
        self._slots = given.slots
        self._limits = Limits(rules.idle_seconds, rules.terminate_seconds)
        self._events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._sequence = itertools.count()
        self._hosts: dict[str, Host] = {}
        self.meter = Meter()
        self._chance = random.Random(f"spot {seed}")  # noqa: S311 - not for secrets
        self._clock, self._max_block = clock, max_block
        self._reading: dict[int, Run] = {}
        self._waiting = 0

    @abstractmethod
    def _end(self, now: float, run: Run) -> None:
        """End a run that has read its last page."""

    @abstractmethod
    def _move(self, now: float, runs: list[Run]) -> None:
        """Find other machines for runs that have lost theirs."""

    def _at(self, time: float, happens: Callable[..., None], *what: object) -> None:
        heappush(self._events, (time, next(self._sequence), happens, what))

    def _launched(self, now: float) -> Host:
        self.meter.launches += 1
        host = Host.launched(self.meter.launches, now, self._slots, spot=self._rules.spot)
        self._hosts[host.machine.id] = host
        in_task = self._rules.policy in {Policy.TASK, Policy.SERVICE}
        self._on(now, host, self._given.boot_seconds.typical + in_task * self._given.task_seconds.typical)
        return host

    def _on(self, now: float, host: Host, seconds: float) -> None:
        self.meter.switched(now, 1)
        self._at(now + seconds + self._given.load_seconds.typical, self._ready, host, host.turn)
        if self._rules.spot and self._physics.interruptions_an_hour:
            lives = self._chance.expovariate(self._physics.interruptions_an_hour / 3600)
            self._at(now + lives, self._interrupted, host, host.turn)

    def _ready(self, now: float, host: Host, turn: int) -> None:
        if host.turn == turn:
            host.warm = True
            host.become(MachineState.RUNNING)
            if host.reading:
                self._deal(now, host)
            if not host.seats:
                self._at(now + self._limits.idle, self._look, host, turn)

    def _look(self, now: float, host: Host, turn: int) -> None:
        """Stop or terminate an unused machine, by the product's own policy."""
        if host.turn != turn or host.machine.id not in self._hosts or self._rules.policy is Policy.ALWAYS_ON:
            return
        decision = retention_policy(host.machine, host.record, 0.0, now, self._limits)
        match decision.action:
            case Action.STOP:
                self._off(now, host, MachineState.STOPPING)
                self._at(now + self._physics.stop_seconds, self._stopped, host, host.turn)
            case Action.TERMINATE:
                self._terminate(now, host)
            case Action.KEEP | Action.FORGET:
                if decision.look_again_at is not None and decision.look_again_at < inf:
                    self._at(decision.look_again_at, self._look, host, turn)

    def _stopped(self, now: float, host: Host, turn: int) -> None:
        host.become(MachineState.STOPPED)
        host.stopped_at = now
        self._at(now + self._limits.terminate, self._look, host, turn)

    def _off(self, now: float, host: Host, state: MachineState) -> None:
        self.meter.running += host.switch_off(now, state)
        self.meter.switched(now, -1)

    def _terminate(self, now: float, host: Host) -> None:
        if host.on:
            self._off(now, host, MachineState.TERMINATED)
        self.meter.disks += now - host.made_at
        del self._hosts[host.machine.id]

    def _interrupted(self, now: float, host: Host, turn: int) -> None:
        """Give a spot machine notice: its runs move to other machines, and pages in flight may finish."""
        if host.turn != turn or host.machine.id not in self._hosts:
            return
        self.meter.interruptions += 1
        host.take_notice(now + self._physics.notice_seconds)
        self._at(now + self._physics.notice_seconds, self._gone, host, turn)
        runs = [seat.run for seat in host.seats.values()]
        for run in runs:
            host.leave(run, now)
        self._move(now, runs)

    def _gone(self, now: float, host: Host, turn: int) -> None:
        if host.turn != turn or host.machine.id not in self._hosts:
            return
        cut = list(host.blocks.values())
        self.meter.slots.change(now, -host.busy)
        host.blocks.clear()
        host.busy = 0
        self._terminate(now, host)
        self._cut(now, cut)

    def _deal(self, now: float, host: Host) -> None:
        if self._rules.policy in {Policy.SERVICE, Policy.ALWAYS_ON}:
            self._take_over(now, host)
        if host.seats and host.reading:
            for seat in host.deal(now):
                self._feed(now, seat.run)

    def _take_over(self, now: float, host: Host) -> None:
        """Give a machine's free slots to runs that other machines read."""
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
        """Begin pages of a run in all slots that it holds, on the least loaded machine first."""
        open_seats = [seat for seat in run.seats.values() if seat.in_flight < seat.holds and seat.host.reading]
        while run.waiting and open_seats:
            seat = min(open_seats, key=lambda seat: seat.in_flight) if len(open_seats) > 1 else open_seats[0]
            self._begin(now, seat.host, str(run.number))
            if seat.in_flight >= seat.holds:
                open_seats.remove(seat)

    def _begin(self, now: float, host: Host, key: str) -> None:
        seat = host.seats[key]
        run = seat.run
        pages = max(1, min(self._max_block, run.waiting // (2 * self._slots * len(run.seats))))
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
        if block is None:  # its machine was terminated
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
        """Count pages as read, and return whether the run continues."""
        run.left -= pages
        if run.left or run.number not in self._reading:
            return run.left > 0
        self._end(now, run)
        return False

    def _cut(self, now: float, blocks: list[Block]) -> None:
        """Keep the pages that interrupted blocks have read, and read the others again."""
        for block in blocks:
            read = min(block.pages - 1, int(block.pages * (now - block.began) / block.seconds))
            self.meter.again += 1
            self._read(now, block.seat.run, read)
            block.seat.run.waiting += block.pages - read
            self._waiting += block.pages - read
        for run in dict.fromkeys(block.seat.run for block in blocks):
            self._feed(now, run)
