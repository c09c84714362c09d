"""Which machine a run takes: decided from facts alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.backends.ec2.machine import Machine, MachineState, Notice
from tasks.backends.ec2.policy import Step, placement_policy
from tasks.leasing.lease import Record
from tests.unit.tasks.backends.ec2.policy_facts import CONFIG, NOW, found, machine, moments, records, used


def chosen(*machines: Machine, records: tuple[Record, ...] = (), avoid: tuple[str, ...] = ()) -> tuple[Step, str]:
    """What the choice is, and of which machine, in whatever order EC2 lists them."""
    picks = {placement_policy(order, records, CONFIG, avoid, NOW) for order in permutations(machines)}
    (pick,) = picks
    return pick[0], pick[1].id if pick[1] else ""


class TestChoice:
    def test_with_no_machine_one_is_launched(self):
        assert chosen() == (Step.LAUNCH, "")

    def test_running_comes_before_pending_before_stopped(self):
        three = machine("i-1", "stopped"), machine("i-2", "pending"), machine("i-3", "running")
        assert chosen(*three) == (Step.USE, "i-3")
        assert chosen(*three[:2]) == (Step.USE, "i-2")
        assert chosen(three[0]) == (Step.START, "i-1")

    def test_the_one_with_fewest_leases_comes_first(self):
        busy = used(NOW + 60, machine=machine("i-1"))
        assert chosen(machine("i-1"), machine("i-2"), records=(busy,)) == (Step.USE, "i-2")

    def test_leases_that_have_ended_do_not_count(self):
        dead, alive = used(NOW - 1, NOW - 2, machine=machine("i-1")), used(NOW + 1, machine=machine("i-2"))
        assert chosen(machine("i-1"), machine("i-2"), records=(dead, alive)) == (Step.USE, "i-1")

    def test_of_equals_the_oldest_is_taken_so_that_runs_agree(self):
        pair = machine("i-1", launched_at=NOW - 10), machine("i-2", launched_at=NOW - 20)
        assert chosen(*pair) == (Step.USE, "i-2")

    @pytest.mark.parametrize("state", ["shutting-down", "terminated"])
    def test_one_that_goes_is_nothing_to_wait_for(self, state: str):
        assert chosen(machine("i-1", state)) == (Step.LAUNCH, "")

    @pytest.mark.parametrize("state", ["running", "pending", "stopped", "stopping"])
    @pytest.mark.parametrize(
        "known",
        [{"config": "older"}, {"notice": Notice(NOW + 100, "spot-interruption")}, {"id": "i-avoided"}],
        ids=["otherwise set up", "with a notice", "avoided"],
    )
    def test_one_that_does_not_fit_is_neither_used_nor_waited_for(self, state: str, known: dict[str, object]):
        unfit = replace(machine("i-1", state), **known)
        assert chosen(unfit, avoid=("i-avoided",)) == (Step.LAUNCH, "")

    @pytest.mark.parametrize("state", ["running", "pending", "stopped"])
    def test_one_that_is_closed_is_waited_for_where_there_is_no_other(self, state: str):
        closed = used(machine=machine("i-1"), closed_until=NOW + 1)
        assert chosen(machine("i-1", state), records=(closed,)) == (Step.WAIT, "i-1")
        assert chosen(machine("i-1", state), machine("i-2", "stopped"), records=(closed,)) == (Step.START, "i-2")

    def test_a_stopping_one_is_waited_for_where_there_is_no_other(self):
        assert chosen(machine("i-1", "stopping")) == (Step.WAIT, "i-1")
        assert chosen(machine("i-1", "stopping"), machine("i-2", "stopped")) == (Step.START, "i-2")

    def test_a_closing_that_has_ended_keeps_nobody_out(self):
        ended = used(machine=machine("i-1"), closed_until=NOW)
        assert chosen(machine("i-1"), records=(ended,)) == (Step.USE, "i-1")


names = st.sampled_from(["i-1", "i-2", "i-3", "i-4"])
pools = st.lists(
    st.builds(
        replace,
        found,
        id=names,
        config=st.sampled_from([CONFIG, "older"]),
    ),
    unique_by=lambda each: each.id,
)
books = st.lists(st.builds(replace, records, machine=names), unique_by=lambda each: each.machine)
ready = {MachineState.RUNNING: Step.USE, MachineState.PENDING: Step.USE, MachineState.STOPPED: Step.START}


class TestAnyChoice:
    @given(pools, books, st.sets(names), moments)
    def test_what_is_taken_fits(self, machines: list[Machine], book: list[Record], avoid: set[str], now: float):
        step, taken = placement_policy(machines, book, CONFIG, avoid, now)
        assert (taken is None) == (step is Step.LAUNCH)
        if taken is not None:
            assert (taken.config, taken.notice, taken.id in avoid) == (CONFIG, None, False)
            assert taken.there
        if step in {Step.USE, Step.START}:
            assert ready[taken.state] is step
            assert not any(record.machine == taken.id and record.closed_until > now for record in book)

    @given(pools, books, st.sets(names), moments)
    def test_nothing_better_is_passed_over(
        self, machines: list[Machine], book: list[Record], avoid: set[str], now: float
    ):
        step, taken = placement_policy(machines, book, CONFIG, avoid, now)
        closed = {record.machine for record in book if record.closed_until > now}
        fit = [m for m in machines if m.there and m.config == CONFIG and m.id not in avoid and m.notice is None]
        states = {m.state for m in fit if m.id not in closed}
        better = [state for state in ready if state in states]
        if better:
            assert taken.state is better[0]
        else:
            assert step is (Step.WAIT if fit else Step.LAUNCH)
