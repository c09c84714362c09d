"""What to do with machines, decided from facts alone, so that every process decides the same."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from tasks.backends.ec2.machine import Machine, MachineState, Market
from tasks.leasing.lease import Record


class Action(StrEnum):
    """What to do with a machine."""

    KEEP = "keep"
    STOP = "stop"
    TERMINATE = "terminate"
    FORGET = "forget"
    """It is gone, and its record is left."""


class Why(StrEnum):
    """The reason of a decision."""

    LEASED = "leased"
    ACTIVE = "answering requests that no lease tells of"
    WARM = "warm for the next run"
    IDLE = "idle"
    STOPPED_LONG = "stopped for long"
    STOPPED = "stopped"
    CHANGING = "changing its state"
    GONE = "gone"
    ASKED = "asked for"
    NEVER_WARM = "it did not get warm"


@dataclass(frozen=True)
class Limits:
    """How long to keep machines running without a lease, and stopped, in seconds."""

    idle: float
    terminate: float


@dataclass(frozen=True)
class Decision:
    """What to do, why, and when to decide again (seconds since the epoch; None: never)."""

    action: Action
    why: Why
    look_again_at: float | None = None


def retention_policy(machine: Machine, record: Record, active_until: float, now: float, limits: Limits) -> Decision:
    """Decide whether to keep, stop or terminate a machine.

    Its model stays loaded until `active_until` after the last request; 0 if that is unknown. Times are seconds since
    the epoch.
    """
    if not machine.there:
        return Decision(Action.FORGET, Why.GONE)
    if machine.state is MachineState.STOPPING:
        return Decision(Action.KEEP, Why.CHANGING, now + limits.idle)
    leases = record.live(now)
    if leases:
        return Decision(Action.KEEP, Why.LEASED, max(lease.until for lease in leases) + limits.idle)
    if machine.state is MachineState.STOPPED:
        # Stopped by itself, or by hand: the clock starts when it is first seen so.
        due, ending, staying = (record.stopped_at or now) + limits.terminate, Why.STOPPED_LONG, Why.STOPPED
        action = Action.TERMINATE
    else:
        due, ending, staying = max(machine.launched_at, record.last_used_at) + limits.idle, Why.IDLE, Why.WARM
        action = stop_or_terminate(machine)
        if active_until > max(now, due):
            due, staying = active_until, Why.ACTIVE
    return Decision(action, ending) if due <= now else Decision(Action.KEEP, staying, due)


def stop_or_terminate(machine: Machine) -> Action:
    """Return how to end a machine: on demand keeps its disk and restarts quickly; EC2 refuses to stop spot."""
    return Action.TERMINATE if machine.market is Market.SPOT else Action.STOP


class Step(StrEnum):
    """The next step of a run that needs a machine."""

    USE = "use"
    """It runs, or is about to."""
    START = "start"
    WAIT = "wait"
    """It is being stopped; look again."""
    LAUNCH = "launch"


# The step for a machine that can be leased, the best state first.
_STEPS = {MachineState.RUNNING: Step.USE, MachineState.PENDING: Step.USE, MachineState.STOPPED: Step.START}


def placement_policy(
    machines: Iterable[Machine], records: Iterable[Record], config: str, avoid: Collection[str], now: float
) -> tuple[Step, Machine | None]:
    """Choose a run's next step to get a machine: reuse before starting, starting before launching.

    Machines of another config than the stack's are left alone, and stop when idle; those to `avoid` did not work. `now`
    is in seconds since the epoch.
    """
    known = {record.machine: record for record in records}
    fit = [m for m in machines if m.there and m.config == config and m.id not in avoid and m.notice is None]

    def record(machine: Machine) -> Record:
        return known.get(machine.id, Record(machine.id))

    open_to_leases = [m for m in fit if m.state in _STEPS and record(m).closed_until <= now]
    if open_to_leases:
        ranks = list(_STEPS)
        best = min(open_to_leases, key=lambda m: (ranks.index(m.state), len(record(m).live(now)), m.launched_at, m.id))
        return _STEPS[best.state], best
    # The others are being stopped.
    return (Step.WAIT, fit[0]) if fit else (Step.LAUNCH, None)
