"""Every running instance of moto has a machine: something that really answers, and really goes away."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from tests.support.aws import spot
from tests.support.aws.direct import Direct, Seen
from tests.support.aws.front import AwsFront
from tests.support.aws.machine import Machine
from tests.support.aws.plan import Plan
from tests.support.waiting import until

POLL_S = 0.1
LIVE = {"pending", "running"}
INTERRUPTED = ("Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Spot instance termination")
HOST_FAILED = ("Server.InternalError", "Server.InternalError: Internal error on launch")
POWERED_OFF = ("Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown")


@dataclass(order=True)
class _Due:
    at: float
    act: Callable[[], object] = field(compare=False)


class Machines:
    """The machines of a front's instances.

    Attributes:
        plan: how the machines behave that are launched from now on.
    """

    def __init__(self, aws: AwsFront, directory: Path, port: int = 11434) -> None:
        self.plan = Plan()
        self._aws = aws
        self._moto = Direct(aws.moto.url)
        self._directory = directory / "machines"
        self._port = port
        self._known: dict[str, Machine] = {}
        self._next: deque[Plan] = deque()
        self._due: list[_Due] = []
        self._billed: dict[str, list[list[float]]] = {}
        self._changes = 0
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._watch, name="machines")
        aws.lifecycle.watchers.append(self._moved)
        aws.descriptions.console = lambda name: self._known[name].console if name in self._known else ""
        self._thread.start()

    def next(self, *plans: Plan) -> None:
        """How the next machines behave, one plan each; those after them follow `plan`."""
        self._next.extend(plans)

    def __getitem__(self, instance: str) -> Machine:
        return self._known[instance]

    def __iter__(self) -> Iterator[Machine]:
        return iter(list(self._known.values()))

    def one(self) -> Machine:
        """The machine that is powered on, the only one; waits for it."""
        self.wait(lambda: any(machine.up for machine in self))
        (machine,) = (machine for machine in self if machine.up)
        return machine

    def instances(self) -> dict[str, Seen]:
        """All instances of moto, ended ones included."""
        return self._moto.instances()

    def running(self) -> list[str]:
        """Instances that cost money, as moto and not as DescribeInstances has it."""
        return [name for name, each in self.instances().items() if each.state in LIVE]

    def disks(self) -> list[str]:
        """Volumes that cost money."""
        return [item.text or "" for item in self._moto("DescribeVolumes").iterfind("volumeSet/item/volumeId")]

    def seconds(self) -> float:
        """How long all instances have run, in sum."""
        now = time.monotonic()
        return sum((end or now) - start for spans in self._billed.values() for start, end in spans)

    def wait(self, reached: Callable[[], object]) -> None:
        """Wait as `until` does; what the machines have said is told if it fails."""
        try:
            until(reached)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._told()}") from None

    def _told(self) -> str:
        consoles = "\n".join(f"{machine}\n{machine.console[-2000:]}" for machine in self)
        return f"{self.instances()}\n{consoles}"

    def interrupt(self, machine: Machine, after: float = 120) -> datetime:
        """EC2 takes a spot machine back: announces it now, and terminates it so many seconds later."""
        when = machine.metadata.announce(after)
        self._aws.spot.marks[machine.id] = spot.MARKED
        self._later(after, partial(self.vanish, machine, INTERRUPTED, spot.TAKEN))
        return when

    def vanish(self, machine: Machine, reason: tuple[str, str] = HOST_FAILED, mark: str = spot.TAKEN) -> None:
        """It is terminated without notice."""
        self._aws.spot.marks[machine.id] = mark
        self._aws.lifecycle.reasons[machine.id] = reason
        self._moto("TerminateInstances", InstanceId=[machine.id])
        self._aws.lifecycle.moved(machine.id, "shutting-down")

    def power_off(self, machine: Machine) -> None:
        """What EC2 does when the guest powers off: a one-time spot machine never stops, it ends."""
        machine.powering_off = True
        attribute = "instanceInitiatedShutdownBehavior"
        told = self._moto("DescribeInstanceAttribute", InstanceId=machine.id, Attribute=attribute)
        self._aws.lifecycle.reasons[machine.id] = POWERED_OFF
        if told.findtext(f"{attribute}/value") == "stop" and machine.market != "spot":
            self._moto("StopInstances", InstanceId=[machine.id])
            self._aws.lifecycle.moved(machine.id, "stopping")
        else:
            self._moto("TerminateInstances", InstanceId=[machine.id])
            self._aws.lifecycle.moved(machine.id, "shutting-down")

    def tag(self, machine: Machine, key: str, value: str) -> None:
        """Set a tag, as the machine does."""
        self._moto("CreateTags", ResourceId=[machine.id], Tag=[{"Key": key, "Value": value}])

    def tag_new(self, key: str, value: str) -> None:
        """Set a tag of each instance that is launched from now on, as soon as there is one."""

        def tag(instance: str, to: str) -> None:
            if to == "pending":
                self._moto("CreateTags", ResourceId=[instance], Tag=[{"Key": key, "Value": value}])

        self._aws.lifecycle.watchers.append(tag)

    def close(self) -> None:
        self._closing = True
        self._wake.set()
        self._thread.join()
        for machine in self:
            machine.close()
        self._moto.close()

    def _moved(self, instance: str, to: str) -> None:
        with self._lock:
            self._changes += 1
            if to == "pending":
                self._billed.setdefault(instance, []).append([time.monotonic(), 0.0])
            else:
                self._end(instance)
        self._wake.set()

    def _end(self, instance: str) -> None:
        for span in self._billed.get(instance, [])[-1:]:
            span[1] = span[1] or time.monotonic()
        if (machine := self._known.get(instance)) and machine.up:
            machine.halt()

    def _watch(self) -> None:
        while not self._closing:
            self._wake.clear()
            before = self._changes
            instances = self._moto.instances()
            with self._lock:
                # What moto told may be a change whose call is not answered yet: of that no state is known.
                if self._changes == before and not self._aws.lifecycle.changing:
                    self._reconcile(instances)
                # Under the lock, so that nothing starts on a machine that is going.
                for due in sorted(each for each in list(self._due) if each.at <= time.monotonic()):
                    self._due.remove(due)
                    due.act()
            self._wake.wait(POLL_S)

    def _reconcile(self, instances: dict[str, Seen]) -> None:
        for name, seen in instances.items():
            machine = self._known.get(name)
            if self._aws.lifecycle.state(name, seen.state) == "running":
                if machine is None:
                    plan = self._next.popleft() if self._next else self.plan
                    arguments = (plan, self._port, self._directory, self._aws.url, self.power_off)
                    machine = self._known[name] = Machine(seen, *arguments)
                    self._billed.setdefault(name, [[time.monotonic(), 0.0]])
                if not machine.up:
                    self._boot(machine)
            elif seen.state not in LIVE:
                self._end(name)

    def _boot(self, machine: Machine) -> None:
        machine.boot()
        boot, plan = machine.boots, machine.plan

        def during(act: Callable[[], object]) -> Callable[[], object]:
            return lambda: act() if machine.up and machine.boots == boot else None

        for number, stage in enumerate(plan.stages):
            self._later(
                plan.boot_s * number / len(plan.stages), during(partial(self.tag, machine, "hearth:stage", stage))
            )
        if plan.fails:
            self._later(plan.boot_s, during(partial(self.tag, machine, "hearth:stage", plan.fails)))
        elif plan.serves:
            self._later(plan.boot_s, during(machine.serve))
            self._later(plan.boot_s, during(partial(self._guard, machine)))
            self._later(plan.boot_s, during(partial(self._tell, machine, during)))

    def _guard(self, machine: Machine) -> None:
        """Machines of pools that have a token are reached with it alone, as far as their clients know."""
        pool = self.instances()[machine.id].tags.get("hearth:pool")
        names = [f"/hearth/{pool}/{name}" for name in ("tls-certificate", "tls-key", "token")]
        told = self._aws.behind("ssm").get_parameters(Names=names, WithDecryption=True)["Parameters"]
        if len(told) == len(names):
            machine.guard(*(each["Value"] for each in sorted(told, key=lambda each: names.index(each["Name"]))))

    def _tell(self, machine: Machine, during: Callable[[Callable[[], object]], Callable[[], object]]) -> None:
        """Say that it serves as soon as it does."""
        if machine.serving:
            self.tag(machine, "hearth:stage", "serving")
        else:
            self._later(POLL_S / 2, during(partial(self._tell, machine, during)))

    def _later(self, seconds: float, act: Callable[[], object]) -> None:
        self._due.append(_Due(time.monotonic() + seconds, act))


@contextmanager
def machines(aws: AwsFront, directory: Path, port: int = 11434) -> Iterator[Machines]:
    """Machines that end with the context."""
    found = Machines(aws, directory, port)
    try:
        yield found
    finally:
        found.close()
