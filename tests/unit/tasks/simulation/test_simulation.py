"""The simulated fleet: it reads every page, pays for what runs, and decides as the product does."""

from __future__ import annotations

import os
import re
from heapq import heapreplace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.costs.assumptions import Assumptions, Range
from tasks.costs.price_book import Term, shipped_book
from tasks.simulation.fleet import reading_seconds, simulate
from tasks.simulation.hosts import Host, Run, Seat
from tasks.simulation.outcome import Outcome, Trace
from tasks.simulation.picture import picture
from tasks.simulation.scenario import Arrivals, Clock, Physics, Policy, Rules, Work
from tests.support.commands import Hearth

PLAIN = Assumptions().with_values({"page_seconds": "10", "page_sigma": "0", "slowdown_per_slot": "0"})
LOAD = PLAIN.load_seconds.typical
BOOT = PLAIN.boot_seconds.typical + LOAD
TASK = BOOT + PLAIN.task_seconds.typical


class Timed(Clock):
    """Page times as they were told, in the order in which pages are begun."""

    def __init__(self, seconds: list[float]) -> None:
        self._seconds = iter(seconds)

    def seconds(self, pages: int, busy: int) -> float:
        assert pages == 1
        return next(self._seconds)


def simulated(pages: int = 80, *, clock: Clock | None = None, physics: Physics | None = None, **how: object) -> Outcome:
    work = {name: how.pop(name) for name in ("run_pages", "arrivals", "days", "seed") if name in how}
    given = how.pop("given", PLAIN)
    assert isinstance(given, Assumptions)
    asked = Work(**{"pages": pages, "run_pages": pages, "arrivals": "once", **work})
    return simulate(asked, Rules.model_validate(how), given, shipped_book(), physics, clock)


class TestOneRun:
    def test_it_waits_for_boot_and_load_and_then_reads_in_every_slot(self):
        seen = simulated(80)
        assert (seen.started_p50, seen.finished_p50) == (BOOT, BOOT + 80 / 8 * 10)

    def test_its_machine_is_paid_for_from_launch_to_the_end_of_its_idle_time(self):
        seen = simulated(80, idle_seconds=300)
        assert seen.machine_hours * 3600 == pytest.approx(BOOT + 100 + 300)

    def test_a_task_ends_with_its_run(self):
        seen = simulated(80, policy="task")
        assert seen.machine_hours * 3600 == pytest.approx(TASK + 100)

    def test_what_is_always_on_is_paid_for_all_day_and_starts_at_once(self):
        seen = simulated(80, policy="always-on", machines=2)
        assert (seen.started_p50, seen.machine_hours) == (0, pytest.approx(48))

    @given(st.lists(st.floats(0.1, 50), min_size=1, max_size=60))
    def test_pages_are_packed_as_a_list_schedule_packs_them(self, seconds):
        seen = simulated(len(seconds), clock=Timed(seconds))
        free = [0.0] * 8
        for each in seconds:
            heapreplace(free, free[0] + each)
        assert seen.finished_p50 - BOOT == pytest.approx(max(free))

    def test_the_planner_s_run_on_warm_machines_ends_as_soon_as_that_of_a_fleet_after_its_boot(self):
        warm = reading_seconds(80, 8, 2, PLAIN, Clock(PLAIN))
        fleet = simulated(80, policy="task", machines=2, pages_a_slot=0)
        assert warm == pytest.approx(fleet.finished_p50 - TASK) == 50

    @pytest.mark.parametrize("machines", [1, 4])
    def test_the_planner_s_blocks_end_within_a_hundredth_of_when_pages_one_by_one_do(self, machines, monkeypatch):
        def reading() -> float:
            return reading_seconds(20_000, 8, machines, given, Clock(given))

        given = Assumptions()
        blocks = reading()
        monkeypatch.setattr("tasks.simulation.fleet.MAX_RUN_EVENTS", 20_000)
        assert blocks == pytest.approx(reading(), rel=0.01)

    def test_measured_page_times_are_drawn_one_by_one_or_as_sums_of_many(self):
        drawn = Clock(Assumptions(), (1.0, 3.0))
        assert {drawn.seconds(1, 8) for _ in range(50)} == {1.0, 3.0}
        assert drawn.seconds(10_000, 8) == pytest.approx(20_000, rel=0.02)

    def test_a_sum_of_many_page_times_is_as_long_as_the_times_drawn_one_by_one(self):
        drawn = Clock(Assumptions())
        one_by_one = sum(drawn.seconds(1, 8) for _ in range(20_000))
        assert drawn.seconds(20_000, 8) == pytest.approx(one_by_one, rel=0.02)

    def test_blocks_of_pages_end_when_pages_one_by_one_do(self, monkeypatch):
        exact = simulated(2_000)
        monkeypatch.setattr("tasks.simulation.fleet.MAX_EVENTS", 40)
        assert simulated(2_000).finished_max == pytest.approx(exact.finished_max, rel=0.005)


class TestManyRuns:
    @settings(max_examples=30)
    @given(
        st.integers(1, 400),
        st.integers(1, 60),
        st.sampled_from(Arrivals),
        st.sampled_from(Policy),
        st.booleans(),
        st.integers(1, 3),
    )
    def test_every_run_is_read_whatever_comes(self, pages, run_pages, arrivals, policy, spot, machines):
        physics = Physics(interruptions_an_hour=5)
        how = {"policy": policy, "spot": spot, "machines": machines, "days": 0.3, "given": Assumptions()}
        seen = simulated(pages, run_pages=run_pages, arrivals=arrivals, physics=physics, **how)
        assert seen.runs == -(-pages // run_pages)
        assert 0 < seen.occupancy <= 1
        assert seen.machine_hours * 3600 >= max(seen.machines) * seen.seconds * (1 - 1e-9)

    def test_runs_close_together_share_a_machine_that_was_started_once(self):
        seen = simulated(200, run_pages=50, arrivals="steady", days=600 / 86_400, idle_seconds=600)
        assert (seen.launches, seen.peak) == (1, 1)

    def test_runs_far_apart_start_the_stopped_machine_again(self):
        seen = simulated(100, run_pages=50, arrivals="steady", days=0.5, idle_seconds=600)
        assert (seen.launches, seen.starts) == (1, 1)

    def test_a_machine_that_was_stopped_for_too_long_is_made_anew(self):
        seen = simulated(100, run_pages=50, arrivals="steady", days=4, terminate_seconds=86_400)
        assert (seen.launches, seen.starts) == (2, 0)

    def test_a_newcomer_has_its_first_page_as_soon_as_one_ends(self):
        seen = simulated(3_200, run_pages=800, arrivals="steady", days=800 / 86_400)
        assert seen.started_p95 == BOOT  # the first; the others come while all slots are in use
        assert seen.started_p50 <= 10

    def test_a_service_grows_to_what_the_waiting_pages_are_worth(self):
        for threshold, machines in ((4, 5), (20, 1), (0, 5)):
            assert simulated(160, policy="service", machines=5, pages_a_slot=threshold).peak == machines

    @given(st.integers(33, 80), st.integers(0, 10**6))
    @settings(max_examples=30)
    def test_of_a_crowd_the_slots_go_to_whom_they_would_go_to_if_all_were_looked_at(self, count, seed):
        class Thorough(Host):
            def _contenders(self) -> list[Seat]:
                return list(self.seats.values())

        def dealt(kind: type[Host]) -> dict[int, int]:
            host = kind.launched(1, 0.0, 8, spot=False)
            for number in range(count):
                host.seat(Run(number, 9, 0.0, 9, 9), float(number * 7919 % 97))
            for number, seat in enumerate(host.seats.values()):
                seat.fed, seat.turned_at = bool(seed >> number % 20 & 1), float((seed + number * 31) % 89)
            for seat in list(host.seats.values())[:8]:
                seat.holds, seat.fed = 1, True
            host.deal(100.0)
            return {seat.run.number: seat.holds for seat in host.seats.values() if seat.holds}

        assert dealt(Host) == dealt(Thorough)


class TestSpot:
    def test_an_interrupted_run_goes_on_elsewhere_and_reads_only_what_was_in_flight_again(self):
        given = PLAIN.with_values({"page_seconds": "600"})
        seen = simulated(80, spot=True, given=given, physics=Physics(interruptions_an_hour=2), seed=3)
        assert seen.interruptions > 0
        assert 0 < seen.again <= 8 * seen.interruptions
        assert seen.launches >= seen.interruptions

    def test_no_page_is_lost_that_ends_within_the_notice(self):
        seen = simulated(800, spot=True, physics=Physics(interruptions_an_hour=20))
        assert seen.interruptions > 0
        assert seen.again == 0


class TestDollars:
    def test_a_task_costs_its_seconds_its_disk_its_address_and_the_function(self):
        seen = simulated(80, policy="task")
        book, hours = shipped_book(), (TASK + 100) / 3600
        price = book.find("g4dn.xlarge", "us-east-1", Term.ON_DEMAND)
        assert price is not None
        an_hour = price.usd + book.usd("ipv4") + PLAIN.disk_gb * book.usd("gp3:gb") / 730
        function = 2 * 0.5 * book.usd("lambda:gb_s") + book.usd("lambda:request")
        assert seen.usd == pytest.approx(hours * an_hour + function)

    def test_a_stopped_machine_still_pays_for_its_disk(self):
        kept = simulated(80, terminate_seconds=86_400).usd
        gone = simulated(80, terminate_seconds=0).usd
        assert kept - gone == pytest.approx(PLAIN.disk_gb * shipped_book().usd("gp3:gb") / 730 * 24, rel=0.01)

    def test_billing_has_its_minimum(self):
        given = PLAIN.model_copy(update={"boot_seconds": Range.exactly(1), "load_seconds": Range.exactly(1)})
        assert simulated(1, policy="pool", idle_seconds=0, given=given).machine_hours * 3600 == 60


@given(st.lists(st.tuples(st.floats(0.001, 5_000), st.integers(-3, 3)), min_size=1, max_size=50))
def test_a_trace_has_the_area_of_what_it_was_told(changes):
    trace, now, value, area = Trace(), 0.0, 0, 0.0
    for wait, by in changes:
        now, area, value = now + wait, area + wait * value, value + by
        trace.change(now, by)
    assert trace.area == pytest.approx(area, abs=1e-6)


def test_ten_million_pages_are_simulated():
    """In blocks: what is promised is that it can be done, and that it costs what the pages' seconds cost."""
    seen = simulated(10_000_000, machines=64, idle_seconds=0, spot=False)
    slot_seconds = 10_000_000 * 10
    assert seen.machine_hours * 3600 * 8 == pytest.approx(slot_seconds + 64 * 8 * BOOT, rel=0.01)


def test_the_picture_has_a_panel_for_each_and_is_the_same_each_time():
    seen = [simulated(80), simulated(80, policy="task")]
    drawn = picture(seen, 8)
    assert drawn == picture(seen, 8)
    assert len(re.findall('class="read"', drawn)) == 2


def test_the_command_compares_every_policy(tmp_path: Path):
    hearth = Hearth(tmp_path, dict(os.environ))
    done = hearth("simulate", "--pages", "200", "--json", "--svg", tmp_path / "fleet.svg")
    assert [each["rules"]["policy"] for each in done.json["outcomes"]] == list(Policy)
    assert (tmp_path / "fleet.svg").read_text().startswith("<svg")
    wrong = hearth("simulate", "--pages", "5", "--assume", "instance_type=x9.large")
    assert wrong.code == 2
    assert "hearth prices refresh" in wrong.err
