"""The machines of a simulation: they boot, serve, stop, go, and are taken back by the spot market."""

from __future__ import annotations

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
from tasks.simulation.scenario import Physics, Policy, Rules


class Machines(ABC):
    """Machines and their events; who reads on them is told what becomes of them.

    Attributes:
        meter: what is counted.
    """

    def __init__(self, rules: Rules, given: Assumptions, physics: Physics, seed: int) -> None:
        self._rules, self._given, self._physics = rules, given, physics
        self._slots = given.slots
        self._limits = Limits(rules.idle_seconds, rules.terminate_seconds)
        self._events: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._sequence = itertools.count()
        self._hosts: dict[str, Host] = {}
        self.meter = Meter()
        self._chance = random.Random(f"spot {seed}")  # noqa: S311 - not for secrets

    @abstractmethod
    def _deal(self, now: float, host: Host) -> None:
        """A machine may have free slots."""

    @abstractmethod
    def _sent_away(self, now: float, runs: list[Run]) -> None:
        """Runs have lost a machine."""

    @abstractmethod
    def _cut(self, now: float, blocks: list[Block]) -> None:
        """Blocks were cut off as their machine went."""

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
        """Stop a machine that nobody uses, as every stopper of the product does."""
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
        """A spot machine is told of its end: its runs go elsewhere, and what is in flight may end."""
        if host.turn != turn or host.machine.id not in self._hosts:
            return
        self.meter.interruptions += 1
        host.take_notice(now + self._physics.notice_seconds)
        self._at(now + self._physics.notice_seconds, self._gone, host, turn)
        runs = [seat.run for seat in host.seats.values()]
        for run in runs:
            host.leave(run, now)
        self._sent_away(now, runs)

    def _gone(self, now: float, host: Host, turn: int) -> None:
        if host.turn != turn or host.machine.id not in self._hosts:
            return
        cut = list(host.blocks.values())
        self.meter.slots.change(now, -host.busy)
        host.blocks.clear()
        host.busy = 0
        self._terminate(now, host)
        self._cut(now, cut)
