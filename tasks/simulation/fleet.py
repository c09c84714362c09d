"""The simulation: a heap of events, each the next thing that happens to a run or a machine.

A run's pages go to free slots in order. Up to 200,000 pages are events of their own; of more, neighbours are read as a
block, with smaller blocks towards a run's end, so that its last page ends at the right time. The decisions are the
product's own code: `tasks.backends.ec2.policy` (`placement_policy` for machines, `retention_policy` for their end),
`tasks.slots.sharing.shares` for slots and `tasks.core.scaling.machine_count` for the number of machines.
"""

import itertools
from heapq import heappop
from math import ceil

from tasks.backends.ec2.machine import MachineState
from tasks.backends.ec2.policy import Step, placement_policy
from tasks.core.scaling import machine_count
from tasks.costs.assumptions import DAY_SECONDS, Assumptions, Range
from tasks.costs.price_book import Book
from tasks.simulation.hosts import CONFIG, Host, Run
from tasks.simulation.machines import Machines
from tasks.simulation.outcome import Outcome, outcome
from tasks.simulation.scenario import Arrivals, Clock, Physics, Policy, Rules, Work

MAX_EVENTS = 200_000
MAX_RUN_EVENTS = 2_000
"""Events of a single run: more pages are read as blocks, which is much faster and ends within 1 % (a test)."""
_NOTHING = Range.exactly(0)


def simulate(
    work: Work,
    rules: Rules,
    given: Assumptions,
    book: Book,
    physics: Physics | None = None,
    clock: Clock | None = None,
) -> Outcome:
    """Simulate a workload with the typical values of the assumptions' ranges.

    Raises:
        KeyError: the book has no price of the machine.
    """
    fleet = Fleet(work, rules, given, physics or Physics(), clock or Clock(given))
    fleet.play()
    return outcome(work, rules, given, book, fleet.meter, fleet.ended_at)


def reading_seconds(pages: int, slots: int, machines: int, given: Assumptions, clock: Clock) -> float:
    """Simulate one run on machines that are warm already, and return the seconds from its first page to its last.

    Fewer than `machines` are used if the pages do not fill their slots.
    """
    work = Work(pages=pages, run_pages=pages, arrivals=Arrivals.ONCE)
    rules = Rules(policy=Policy.TASK, machines=machines, pages_a_slot=0)
    instant = dict.fromkeys(("boot_seconds", "task_seconds", "load_seconds"), _NOTHING)
    fleet = Fleet(work, rules, given.model_copy(update={"slots": slots, **instant}), Physics(), clock, MAX_RUN_EVENTS)
    fleet.play()
    return fleet.ended_at


class Fleet(Machines):
    """A running simulation.

    Attributes:
        ended_at: time at which the last page was read, seconds from the start.
    """

    def __init__(
        self, work: Work, rules: Rules, given: Assumptions, physics: Physics, clock: Clock, events: int | None = None
    ) -> None:
        super().__init__(rules, given, physics, clock, work.seed, ceil(work.pages / (events or MAX_EVENTS)))
        self._work = work
        self.ended_at = 0.0

    def play(self) -> None:
        """Run until every page is read and every machine is terminated."""
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
        for host in list(self._hosts.values()):  # the always-on machines
            self._terminate(end, host)

    def _goes_on(self) -> bool:
        """Whether events are left; always-on machines would be interrupted for ever."""
        if self._rules.policy is not Policy.ALWAYS_ON or self._reading:
            return bool(self._events)
        return bool(self._events) and self._events[0][0] < self._work.days * DAY_SECONDS

    def _arrive(self, now: float, run: Run) -> None:
        self._reading[run.number] = run
        self._waiting += run.pages
        needed = machine_count(run.pages, self._slots, self._rules.machines, self._rules.pages_a_slot)
        match self._rules.policy:
            case Policy.POOL:
                for _ in range(needed):
                    self._seek(now, run)
            case Policy.TASK:
                for _ in range(needed):
                    self._join(now, run, self._launched(now))
            case Policy.SERVICE | Policy.ALWAYS_ON:
                self._rescale(now)
                present = [host for host in self._hosts.values() if host.on and host.machine.notice is None]
                for host in sorted(present, key=lambda host: len(host.seats))[:needed]:
                    self._join(now, run, host)

    def _seek(self, now: float, run: Run) -> None:
        """Find a machine of the pool for a run, as `tasks.backends.ec2.acquire` does."""
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

    def _move(self, now: float, runs: list[Run]) -> None:
        if self._rules.policy is Policy.ALWAYS_ON:
            self._launched(now)
        self._rescale(now)
        for run in runs:
            if self._rules.policy is Policy.POOL:
                self._seek(now, run)
            elif self._rules.policy is Policy.TASK:
                self._join(now, run, self._launched(now))

    def _rescale(self, now: float) -> None:
        """Start the machines that a service's waiting pages need; surplus machines go when they are idle."""
        if self._rules.policy is not Policy.SERVICE:
            return
        needed = machine_count(self._waiting, self._slots, self._rules.machines, self._rules.pages_a_slot)
        present = sum(host.machine.notice is None for host in self._hosts.values() if host.on)
        if not present and self._reading:
            needed = max(1, needed)
        stopped = [host for host in self._hosts.values() if host.machine.state is MachineState.STOPPED]
        for _ in range(needed - present):
            if stopped:
                host = stopped.pop()
                host.start(now)
                self.meter.starts += 1
                self._on(now, host, self._physics.start_seconds)
            else:
                self._launched(now)
