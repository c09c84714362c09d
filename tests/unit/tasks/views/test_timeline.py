"""How busy the slots were and how long pages took, in a number of buckets that does not grow."""

from __future__ import annotations

import re
from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.views.timeline import BUCKETS, Timeline, quantile
from tasks.views.timeline_chart import describe, embedded, picture


def full(slots: int, seconds: float, pages: int, began: float = 1000.0) -> Timeline:
    """Slots that are never idle, on pages that all take as long."""
    timeline = Timeline()
    timeline.slots(began, slots)
    for number in range(pages):
        timeline.page(began + (number // slots + 1) * seconds, seconds, failed=False)
    return timeline


def test_slots_that_are_never_idle_are_wholly_busy():
    timeline = full(4, 3.0, 40)
    assert timeline.mean_occupancy == pytest.approx(1.0)
    assert [timeline.occupancy(bucket) for bucket in timeline.buckets[:30]] == pytest.approx([1.0] * 30)


def test_one_of_two_slots_is_half_busy():
    timeline = full(1, 3.0, 10)
    timeline.slots(1000.0, 2)
    for bucket in timeline.buckets:
        bucket.slots = 2
    assert timeline.mean_occupancy == pytest.approx(0.5)


def test_slots_that_come_later_count_from_then_on():
    timeline = Timeline()
    timeline.slots(0.0, 1)
    timeline.page(10.0, 10.0, failed=False)
    timeline.slots(10.0, 2)
    timeline.page(20.0, 10.0, failed=False)
    assert [bucket.slots for bucket in timeline.buckets] == [1] * 10 + [2] * 11
    assert timeline.mean_occupancy == pytest.approx(20 / 30)


@given(
    st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 400), st.booleans()), min_size=1, max_size=300),
    st.integers(1, 64),
)
def test_nothing_is_lost_and_nothing_grows_however_long_it_goes_on(pages, slots):
    timeline = Timeline()
    timeline.slots(0.0, slots)
    for ended, seconds, failed in sorted(pages):
        timeline.page(ended, min(seconds, ended), failed=failed)
    assert len(timeline.buckets) <= BUCKETS
    assert timeline.pages == len(pages)
    assert timeline.times.total() == sum(min(seconds, ended) > 0 for ended, seconds, _ in pages)
    assert sum(bucket.failed for bucket in timeline.buckets) == sum(failed for *_, failed in pages)
    spent = sum(min(seconds, ended) for ended, seconds, _ in pages)
    assert sum(bucket.busy for bucket in timeline.buckets) == pytest.approx(spent, abs=1e-6)
    assert 0.0 <= timeline.mean_occupancy <= 1.0
    fromstring(picture(timeline))


def test_quantiles_are_within_five_percent():
    timeline = Timeline()
    timeline.slots(0.0, 1)
    for number in range(1, 101):
        timeline.page(number, number / 10, failed=False)
    assert quantile(timeline.times, 0.5) == pytest.approx(5.0, rel=0.05)
    assert quantile(timeline.times, 0.95) == pytest.approx(9.5, rel=0.05)


def test_the_picture_of_a_million_pages_is_no_larger_than_that_of_a_thousand():
    def size(pages: int) -> int:
        timeline = Timeline()
        timeline.slots(0.0, 64)
        for number in range(0, pages, max(1, pages // 2000)):
            timeline.page(number / 20, 0.5 + number % 40 / 4, failed=number % 97 == 0)
        return len(embedded(timeline))

    assert size(1_000_000) < 1.2 * max(size(10_000), size(1_000)) < 60_000


def test_it_is_told_in_a_line():
    line = describe(full(8, 2.0, 80))
    assert line == "80 pages in 20 s over 8 slots, 100% busy; half the pages took at most 2 s, 95 % at most 2 s"


def test_blank_pages_are_counted_and_take_no_slot():
    timeline = Timeline()
    timeline.slots(0.0, 2)
    timeline.page(1.0, 0.0, failed=False)
    assert (timeline.pages, timeline.times.total(), timeline.mean_occupancy) == (1, 0, 0.0)
    fromstring(picture(timeline))


@pytest.mark.parametrize("pages", [2, 8, 40, 400, 40_000])
def test_the_times_under_the_picture_are_round_and_all_different(pages: int):
    shown = fromstring(picture(full(4, 1.0, pages))).itertext()
    below = [text for text in shown if re.fullmatch(r"\S+ (s|min|h)", text)][3:]  # after those of the page times
    assert below[0] == "0 s"
    assert 2 <= len(below) == len(set(below)) <= 7
    assert all(float(time.split()[0]) * 2 % 1 == 0 for time in below)
