"""What becomes of a machine, and which one a run takes: decided from facts alone."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.backends.ec2.instances import Machine, MachineState, Market, Notice
from tasks.backends.ec2.policy import Action, Decision, Limits, Step, Why, placement_policy, retention_policy
from tasks.leasing.lease import Lease, Record

NOW = 1_000_000.0
LIMITS = Limits(idle=600, terminate=86_400)
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
SPOT = replace(MACHINE, market=Market.SPOT)
STOPPED = replace(MACHINE, state=MachineState.STOPPED)
PUT_AWAY = {Action.STOP, Action.TERMINATE}
GOING = {MachineState.SHUTTING_DOWN, MachineState.TERMINATED}


def used(*ends: float, machine: Machine = MACHINE, **known: float) -> Record:
    """The record of a machine whose leases end at these times."""
    return Record(machine.id, tuple(Lease("paper", 1, until, f"token{n}") for n, until in enumerate(ends)), **known)


def decided(machine: Machine = MACHINE, record: Record | None = None, active_until: float = 0.0, now: float = NOW):
    return retention_policy(machine, record or Record(machine.id), active_until, now, LIMITS)


# Whole seconds: the order of sums of arbitrary fractions is not what is specified here.
moments = st.integers(0, 10_000).map(float)
spans = st.integers(1, 5_000).map(float)
limits = st.builds(Limits, idle=spans, terminate=st.integers(0, 5_000).map(float))
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


class TestRunning:
    def test_on_demand_is_stopped_when_idle(self):
        assert decided() == Decision(Action.STOP, Why.IDLE)

    def test_spot_is_terminated_when_idle(self):
        assert decided(SPOT) == Decision(Action.TERMINATE, Why.IDLE)

    def test_one_that_was_launched_lately_stays_warm_until_its_idle_time_is_over(self):
        young = replace(MACHINE, launched_at=NOW - 100)
        assert decided(young) == Decision(Action.KEEP, Why.WARM, NOW + 500)

    def test_one_that_was_given_back_lately_stays_warm_until_its_idle_time_is_over(self):
        assert decided(record=used(released_at=NOW - 100)) == Decision(Action.KEEP, Why.WARM, NOW + 500)

    def test_a_leased_one_is_looked_at_when_its_last_lease_has_ended_and_its_idle_time_is_over(self):
        assert decided(record=used(NOW + 10, NOW + 60)) == Decision(Action.KEEP, Why.LEASED, NOW + 660)

    def test_the_idle_time_counts_from_the_end_of_a_dead_run_s_lease(self):
        assert decided(record=used(NOW - 100)) == Decision(Action.KEEP, Why.WARM, NOW + 500)
        assert decided(record=used(NOW - 600)).action is Action.STOP

    def test_one_that_answers_requests_without_a_lease_is_looked_at_when_its_model_is_let_go(self):
        assert decided(active_until=NOW + 300) == Decision(Action.KEEP, Why.ACTIVE, NOW + 300)

    def test_a_model_that_was_to_be_let_go_before_now_keeps_nothing(self):
        assert decided(active_until=NOW - 1).action is Action.STOP

    def test_activity_does_not_shorten_the_idle_time(self):
        young = replace(MACHINE, launched_at=NOW - 100)
        assert decided(young, active_until=NOW + 300).look_again_at == NOW + 500

    def test_one_that_never_got_past_pending_is_put_away_like_a_running_one(self):
        assert decided(replace(MACHINE, state=MachineState.PENDING)) == Decision(Action.STOP, Why.IDLE)


class TestNotRunning:
    def test_a_stopped_one_is_kept_for_a_quick_start(self):
        assert decided(STOPPED, used(stopped_at=NOW - 400)) == Decision(Action.KEEP, Why.STOPPED, NOW + 86_000)

    def test_one_that_was_stopped_for_long_is_terminated(self):
        assert decided(STOPPED, used(stopped_at=NOW - 86_400)) == Decision(Action.TERMINATE, Why.STOPPED_LONG)

    def test_one_that_is_seen_stopped_for_the_first_time_is_kept_from_now_on(self):
        assert decided(STOPPED) == Decision(Action.KEEP, Why.STOPPED, NOW + 86_400)

    def test_a_stopped_one_that_a_run_has_leased_to_start_it_is_kept(self):
        assert decided(STOPPED, used(NOW + 60, stopped_at=1)).why is Why.LEASED

    def test_a_stopping_one_is_left_alone(self):
        stopping = replace(MACHINE, state=MachineState.STOPPING)
        assert decided(stopping) == Decision(Action.KEEP, Why.CHANGING, NOW + 600)

    @pytest.mark.parametrize("state", sorted(GOING))
    def test_one_that_is_gone_is_forgotten(self, state: MachineState):
        assert decided(replace(MACHINE, state=state), used(NOW + 60)) == Decision(Action.FORGET, Why.GONE)


class TestAlways:
    @given(found, records, moments, moments, limits, spans)
    def test_a_leased_machine_is_never_put_away(
        self, machine: Machine, record: Record, active: float, now: float, limits: Limits, left: float
    ):
        leased = replace(record, leases=(*record.leases, Lease("paper", 1, now + left)))
        assert retention_policy(machine, leased, active, now, limits).action not in PUT_AWAY

    @given(found, records, moments, moments, limits, spans)
    def test_a_machine_younger_than_its_idle_time_is_never_stopped(
        self, machine: Machine, record: Record, active: float, now: float, limits: Limits, left: float
    ):
        young = replace(machine, state=MachineState.RUNNING, launched_at=now - limits.idle + left)
        assert retention_policy(young, record, active, now, limits).action is Action.KEEP

    @given(found, records, moments, limits, spans)
    def test_an_active_machine_is_never_stopped(
        self, machine: Machine, record: Record, now: float, limits: Limits, left: float
    ):
        running = replace(machine, state=MachineState.RUNNING)
        assert retention_policy(running, record, now + left, now, limits).action is Action.KEEP

    @given(found, records, moments, moments, limits)
    def test_spot_is_never_stopped(self, machine: Machine, record: Record, active: float, now: float, limits: Limits):
        spot = replace(machine, market=Market.SPOT)
        assert retention_policy(spot, record, active, now, limits).action is not Action.STOP

    @given(found, records, moments, moments, limits)
    def test_on_demand_is_never_terminated_while_it_runs(
        self, machine: Machine, record: Record, active: float, now: float, limits: Limits
    ):
        running = replace(machine, market=Market.ON_DEMAND, state=MachineState.RUNNING)
        assert retention_policy(running, record, active, now, limits).action is not Action.TERMINATE

    @given(found, spans, moments, limits)
    def test_what_was_stopped_for_long_goes_and_nothing_else_that_is_stopped(
        self, machine: Machine, stopped_at: float, now: float, limits: Limits
    ):
        stopped, record = replace(machine, state=MachineState.STOPPED), used(stopped_at=stopped_at)
        goes = retention_policy(stopped, record, 0, now, limits).action is Action.TERMINATE
        assert goes == (now - stopped_at >= limits.terminate)

    @given(found, records, moments, moments, limits)
    def test_only_what_is_gone_is_forgotten(
        self, machine: Machine, record: Record, active: float, now: float, limits: Limits
    ):
        forgets = retention_policy(machine, record, active, now, limits).action is Action.FORGET
        assert forgets == (machine.state in GOING)

    @given(found, records, moments, moments, moments, limits)
    def test_what_is_due_stays_due(
        self, machine: Machine, record: Record, active: float, now: float, later: float, limits: Limits
    ):
        first = retention_policy(machine, record, active, now, limits)
        then = retention_policy(machine, record, active, now + later, limits)
        assert first.action not in PUT_AWAY or then == first

    @given(found, records, moments, moments, limits)
    def test_what_is_kept_is_looked_at_again_and_not_at_once(
        self, machine: Machine, record: Record, active: float, now: float, limits: Limits
    ):
        decision = retention_policy(machine, record, active, now, limits)
        assert (decision.look_again_at is not None) == (decision.action is Action.KEEP)
        assert decision.look_again_at is None or decision.look_again_at > now

    @given(found, records, moments, limits)
    def test_a_running_machine_is_due_at_its_next_look_and_not_before(
        self, machine: Machine, record: Record, now: float, limits: Limits
    ):
        past = {"launched_at": min(machine.launched_at, now), "state": MachineState.RUNNING}
        running, known = replace(machine, **past), replace(record, released_at=min(record.released_at, now))
        at = retention_policy(running, known, 0, now, limits).look_again_at
        if at is not None:
            assert retention_policy(running, known, 0, at - 1, limits).action is Action.KEEP
            assert retention_policy(running, known, 0, at, limits).action in PUT_AWAY


def machine(name: str, state: str = "running", **known: object) -> Machine:
    return replace(MACHINE, id=name, state=MachineState(state), **known)


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
