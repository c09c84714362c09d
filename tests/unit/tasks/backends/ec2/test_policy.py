"""What becomes of a machine: decided from facts alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.backends.ec2.machine import Machine, MachineState, Market
from tasks.backends.ec2.policy import Action, Decision, Limits, Why, retention_policy
from tasks.leasing.lease import Lease, Record
from tests.unit.tasks.backends.ec2.policy_facts import MACHINE, NOW, found, moments, records, used

LIMITS = Limits(idle=600, terminate=86_400)
SPOT = replace(MACHINE, market=Market.SPOT)
STOPPED = replace(MACHINE, state=MachineState.STOPPED)
PUT_AWAY = {Action.STOP, Action.TERMINATE}
GOING = {MachineState.SHUTTING_DOWN, MachineState.TERMINATED}


def decided(machine: Machine = MACHINE, record: Record | None = None, active_until: float = 0.0, now: float = NOW):
    return retention_policy(machine, record or Record(machine.id), active_until, now, LIMITS)


spans = st.integers(1, 5_000).map(float)
limits = st.builds(Limits, idle=spans, terminate=st.integers(0, 5_000).map(float))


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
