"""The simulation: events on a heap, each the next thing that happens to a run or a machine.

A run's pages go to free slots in order. As long as there are no more than 200,000 of them, each is an event of its own;
of more, neighbours are read as one block, smaller ones towards a run's end, so that its last page ends as it would.
What a run does for a machine is `tasks.backends.ec2.policy.placement_policy`, when a machine goes is
`retention_policy`, who reads in which slot is `tasks.slots.sharing.shares`, and how many machines pages are worth is
`tasks.core.scaling.machine_count`: the code that the product runs.
"""

from __future__ import annotations

import itertools
from heapq import heappop
from math import ceil

from tasks.backends.ec2.machine import MachineState
from tasks.backends.ec2.policy import Step, placement_policy
from tasks.core.scaling import machine_count
from tasks.costs.assumptions import DAY_SECONDS, Assumptions
from tasks.costs.price_book import Book
from tasks.simulation.hosts import CONFIG, Host, Run
from tasks.simulation.outcome import Outcome, outcome
from tasks.simulation.pages import Pages
from tasks.simulation.scenario import Clock, Physics, Policy, Rules, Work

_EVENTS = 200_000


def simulate(
    work: Work,
    rules: Rules,
    given: Assumptions,
    book: Book,
    physics: Physics | None = None,
    clock: Clock | None = None,
) -> Outcome:
    """Let the runs come, and see.

    Args:
        work: what is to be read.
        rules: how machines are kept.
        given: what is taken for granted; the typical end of its ranges.
        book: of prices.
        physics: of machines.
        clock: of pages.

    Raises:
        KeyError: the book lacks the machine's price.
    """
    fleet = Fleet(work, rules, given, physics or Physics(), clock or Clock(given))
    fleet.play()
    return outcome(work, rules, given, book, fleet.meter, fleet.ended_at)


class Fleet(Pages):
    """One simulation under way.

    Attributes:
        ended_at: when the last page was read, seconds from the start.
    """

    def __init__(
        self, work: Work, rules: Rules, given: Assumptions, physics: Physics, clock: Clock, events: int | None = None
    ) -> None:
        super().__init__(rules, given, physics, clock, work.seed, most_in_block=ceil(work.pages / (events or _EVENTS)))
        self._work = work
        self.ended_at = 0.0

    def play(self) -> None:
        """Play it to its end: every page read, and every machine gone."""
        coming = self._work.coming()
        if self._rules.policy is Policy.ALWAYS_ON:
            for _ in range(self._rules.machines):
                self._ready(0.0, self._launched(0.0), 0)
        numbers = itertools.count()
        following = next(coming, None)
        while following is not None or self._goes_on():
            if following is not None and (not self._events or following[0] <= self._events[0][0]):
                now, pages = following
                following = next(coming, None)
                self._arrive(now, Run(next(numbers), pages, now, pages, pages))
                continue
            now, _, happens, what = heappop(self._events)
            happens(now, *what)
        end = max(self.ended_at, self._work.days * DAY_SECONDS if self._rules.policy is Policy.ALWAYS_ON else 0.0)
        for host in list(self._hosts.values()):  # those that are always on
            self._terminate(end, host)

    def _goes_on(self) -> bool:
        """Whether anything is still to happen; what is always on would be interrupted for ever."""
        if self._rules.policy is not Policy.ALWAYS_ON or self._reading:
            return bool(self._events)
        return bool(self._events) and self._events[0][0] < self._work.days * DAY_SECONDS

    def _arrive(self, now: float, run: Run) -> None:
        self._reading[run.number] = run
        self._waiting += run.pages
        wanted = machine_count(run.pages, self._slots, self._rules.machines, self._rules.pages_a_slot)
        match self._rules.policy:
            case Policy.POOL:
                for _ in range(wanted):
                    self._seek(now, run)
            case Policy.TASK:
                for _ in range(wanted):
                    self._join(now, run, self._launched(now))
            case Policy.SERVICE | Policy.ALWAYS_ON:
                self._rescale(now)
                here = [host for host in self._hosts.values() if host.on and host.machine.notice is None]
                for host in sorted(here, key=lambda host: len(host.seats))[:wanted]:
                    self._join(now, run, host)

    def _seek(self, now: float, run: Run) -> None:
        """A run of the pool gets a machine, as `tasks.backends.ec2.acquire` does."""
        if not run.left:
            return
        hosts = list(self._hosts.values())
        step, machine = placement_policy(
            [host.machine for host in hosts], [host.record for host in hosts], CONFIG, run.seats.keys(), now
        )
        if machine is None:
            self._join(now, run, self._launched(now))
            return
        host = self._hosts[machine.id]
        if step is Step.WAIT:
            self._at(now + self._physics.poll_seconds, self._seek, run)
            return
        if step is Step.START:
            host.start(now)
            self.meter.starts += 1
            self._on(now, host, self._physics.start_seconds)
        self._join(now, run, host)

    def _join(self, now: float, run: Run, host: Host) -> None:
        host.seat(run, now)
        if host.reading:
            self._deal(now, host)

    def _end(self, now: float, run: Run) -> None:
        del self._reading[run.number]
        self.ended_at = now
        self.meter.started.append(run.first_at - run.came_at)
        self.meter.finished.append(now - run.came_at)
        for seat in list(run.seats.values()):
            host = seat.host
            host.leave(run, now)
            if self._rules.policy is Policy.TASK:
                self._terminate(now, host)
            elif host.seats:
                self._deal(now, host)
            else:
                self._at(now + self._limits.idle, self._look, host, host.turn)

    def _sent_away(self, now: float, runs: list[Run]) -> None:
        """Runs have lost a machine: they look for another."""
        if self._rules.policy is Policy.ALWAYS_ON:
            self._launched(now)
        self._rescale(now)
        for run in runs:
            if self._rules.policy is Policy.POOL:
                self._seek(now, run)
            elif self._rules.policy is Policy.TASK:
                self._join(now, run, self._launched(now))

    def _rescale(self, now: float) -> None:
        """A service has as many machines as its pages are worth; those too many go when they are idle."""
        if self._rules.policy is not Policy.SERVICE:
            return
        wanted = machine_count(self._waiting, self._slots, self._rules.machines, self._rules.pages_a_slot)
        there = sum(host.machine.notice is None for host in self._hosts.values() if host.on)
        if not there and self._reading:
            wanted = max(1, wanted)
        stopped = [host for host in self._hosts.values() if host.machine.state is MachineState.STOPPED]
        for _ in range(wanted - there):
            if stopped:
                host = stopped.pop()
                host.start(now)
                self.meter.starts += 1
                self._on(now, host, self._physics.start_seconds)
            else:
                self._launched(now)
