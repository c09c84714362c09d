"""Machines and records as facts, and any that there could be."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from tasks.backends.ec2.machine import Machine, MachineState, Market, Notice
from tasks.leasing.lease import Lease, Record

NOW = 1_000_000.0
CONFIG = "0123456789ab"

MACHINE = Machine(
    id="i-1",
    pool="default",
    state=MachineState.RUNNING,
    type="g4dn.xlarge",
    market=Market.ON_DEMAND,
    zone="us-east-1a",
    launched_at=NOW - 3600,
    private_ip="10.0.0.1",
    public_ip=None,
    config=CONFIG,
    stage="serving",
    notice=None,
    spot_request=None,
)


def used(*ends: float, machine: Machine = MACHINE, **known: float) -> Record:
    """The record of a machine whose leases end at these times."""
    return Record(machine.id, tuple(Lease("paper", 1, until, f"token{n}") for n, until in enumerate(ends)), **known)


# Whole seconds: the order of sums of arbitrary fractions is not what is specified here.
moments = st.integers(0, 10_000).map(float)
notices = st.none() | st.builds(Notice, at=moments, why=st.just("lifetime"))
found = st.builds(
    replace,
    st.just(MACHINE),
    state=st.sampled_from(MachineState),
    market=st.sampled_from(Market),
    launched_at=moments,
    notice=notices,
)
records = st.builds(
    used, moments, moments, released_at=moments, stopped_at=st.just(0.0) | moments, closed_until=moments
) | st.builds(used, released_at=st.just(0.0) | moments, stopped_at=st.just(0.0) | moments)


def machine(name: str, state: str = "running", **known: object) -> Machine:
    return replace(MACHINE, id=name, state=MachineState(state), **known)
