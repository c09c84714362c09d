"""Who keeps account of servers: what all have spent, whose pages were read meanwhile, and where a run's time went."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

import tasks.runs.run_stats
from tasks.backends.base import Allocation, Endpoint, MachineFacts, ServerLease
from tasks.core.events import PagesStarted
from tasks.core.jobs import BackendName
from tasks.inference.schema import Timing
from tasks.reading.events import PageDone
from tasks.results.page import Attempt, PageResult, PageStatus
from tasks.runs.cost_tracker import CostTracker
from tasks.runs.run_stats import RunStats
from tasks.serving.warmup import Warmth
from tasks.slots.ledger import Measured
from tasks.slots.store import FileStore

START = 1_000_000.0
WARM = Warmth("d", "qwen25vl", Measured(what="m", slots=8, asked=8, at=START))


def allocation(tmp_path: Any, **changed: Any) -> Allocation:
    return replace(
        Allocation(BackendName.EC2, Endpoint("http://10.0.0.1"), 8, FileStore(tmp_path / "slots")), **changed
    )


def done(page: int, seconds: float, *again: float, image: float = 0.0) -> PageDone:
    """A page that was read; `again` are attempts that were no good."""
    attempts = [Attempt(temperature=0, seconds=each, reason="empty") for each in again]
    result = PageResult(
        page=page,
        identity="i",
        status=PageStatus.READ,
        model="m",
        digest="d",
        seconds=seconds,
        timing=Timing(prompt_eval=image),
        attempts=(*attempts, Attempt(temperature=0, seconds=seconds - sum(again))),
        finished_at=datetime.now(UTC),
    )
    return PageDone(result)


class Spent(ServerLease):
    """A lease on a server of a pool whose budget is spent."""

    has_budget = True

    async def over_budget(self) -> str | None:
        return "the pool's 5 USD a day are spent"


async def test_a_server_s_limit_counts_while_it_is_held(tmp_path: Any):
    books, limited = CostTracker(), allocation(tmp_path, lease=Spent())
    books.taken(allocation(tmp_path))
    assert not books.limited
    assert await books.over_budget() is None
    books.taken(limited)
    assert books.limited
    assert await books.over_budget() == "the pool's 5 USD a day are spent"
    books.released(limited, "")
    assert await books.over_budget() is None


def test_page_seconds_are_noted_with_the_servers_that_are_held_then(tmp_path: Any):
    books, first, second = CostTracker(), allocation(tmp_path), allocation(tmp_path)
    books.taken(first)
    note = books.work_of("paper")
    note(done(1, 2.0))
    books.released(first, "")
    books.taken(second)
    note(done(2, 3.0))
    books.work_of("other")(done(1, 1.0))
    assert first.lease.work == {"paper": 2.0}
    assert second.lease.work == {"paper": 3.0, "other": 1.0}


def test_a_run_s_dollars_are_those_of_all_machines_that_it_holds_or_has_given_back(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
):
    now = [START]
    monkeypatch.setattr(time, "time", lambda: now[0])
    first, second, third = (
        allocation(tmp_path, machine=MachineFacts(name, "kind", 3600.0, since=START)) for name in ("i-1", "i-2", "i-3")
    )
    books = CostTracker()
    books.taken(first)
    books.taken(second)
    now[0] += 5
    books.released(first, "taken back by spot")
    books.taken(third)
    now[0] += 2
    assert books.usd == 5 + 7 + 7  # USD 1 a second, each since it was taken


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Of the day, and the monotonic one with it."""
    now = [START]
    monkeypatch.setattr(tasks.runs.run_stats.time, "time", lambda: now[0])
    monkeypatch.setattr(tasks.runs.run_stats.time, "monotonic", lambda: now[0] - START)
    return now


def test_a_run_s_time_is_split_into_waiting_boot_load_and_reading(tmp_path: Any, clock: list[float]):
    meter = RunStats(idle_seconds=600, longest_side=1288)
    machine = MachineFacts("i-1", "kind", 0.6, since=START + 5, boot_seconds=60, spot_usd_per_hour=0.2)
    clock[0] += 85
    meter.warmed(allocation(tmp_path, machine=machine), WARM)
    clock[0] += 2  # its turn has not come
    meter(PagesStarted(3, 0, 8))
    clock[0] += 10
    meter(done(1, 6.0, image=1.5))
    clock[0] += 20
    meter(done(2, 12.0, 4.0, image=1.5))
    clock[0] += 3
    meter.released(machine, "")
    figures = meter.figures()
    assert (figures.waiting, figures.boot, figures.load, figures.reading) == (7, 60, 20, 30)
    assert (figures.slots, figures.read, figures.page_seconds, figures.again_seconds) == (8, 2, 18.0, 4.0)
    assert (figures.image_seconds, figures.held, figures.usd_per_hour) == (3.0, 115, 0.6)
    assert (figures.idle, figures.spot_usd_per_hour, figures.more_slots) == (600, 0.2, True)


def test_slots_are_those_that_pages_have_shown(tmp_path: Any):
    meter, server = RunStats(idle_seconds=600, longest_side=1288), allocation(tmp_path)
    begun = replace(WARM, measured=WARM.measured.model_copy(update={"sure": False}), requested=8)
    meter.warmed(server, begun)
    meter(PagesStarted(3, 0, 8))
    assert (meter.figures().slots, meter.figures().slots_seen, meter.figures().more_slots) == (8, 0, False)
    meter.warmed(server, begun.shown(begun.measured, 3, 1))
    assert (meter.figures().slots, meter.figures().slots_seen) == (8, 3)
    meter.warmed(server, begun.shown(begun.measured.model_copy(update={"slots": 2, "seen": True}), 3, 1))
    assert (meter.figures().slots, meter.figures().slots_seen) == (2, None)


def test_a_clock_that_is_set_back_makes_no_time_negative(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    meter = RunStats(idle_seconds=600, longest_side=1288)
    monkeypatch.setattr(tasks.runs.run_stats.time, "time", lambda: START)
    machine = MachineFacts("i-1", "kind", 0.6, since=START + 100, boot_seconds=-5)
    meter.warmed(allocation(tmp_path, machine=machine), WARM)
    meter.released(machine, "")
    figures = meter.figures()
    assert min(figures.waiting, figures.boot, figures.load, figures.held) == 0


def test_a_machine_that_went_does_not_idle(tmp_path: Any, clock: list[float]):
    meter = RunStats(idle_seconds=600, longest_side=1288)
    meter.released(MachineFacts("i-1", "kind", 0.6, START), "it is terminated")
    assert meter.figures().idle == 0


def test_a_document_that_finds_its_server_warm_has_waited_for_its_turn_alone(tmp_path: Any, clock: list[float]):
    meter = RunStats(idle_seconds=600, longest_side=1288)
    earlier = MachineFacts("i-1", "kind", 0.6, since=START - 500, boot_seconds=60)
    meter.warmed(allocation(tmp_path, machine=earlier), WARM)
    clock[0] += 30
    meter(PagesStarted(1, 0, 8))
    figures = meter.figures()
    assert (figures.waiting, figures.boot, figures.load) == (30, 0, 0)
