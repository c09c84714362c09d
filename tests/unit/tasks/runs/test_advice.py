"""Where a run's time and money went, from its numbers, and what one change would have saved most."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.results.usage import Figures, Saving
from tasks.runs.advice import insight, savings

# 80 pages of 6 s over 8 slots on a machine at USD 0.60 an hour that was started for them.
RUN = Figures(
    waiting=5,
    boot=60,
    load=20,
    reading=60,
    slots=8,
    read=80,
    page_seconds=456,
    longest_side=1288,
    held=140,
    usd_per_hour=0.60,
    idle=600,
)


def saved(change: str, **figures: float | bool) -> Saving:
    """What one change saves."""
    (found,) = [each for each in savings(RUN.model_copy(update=figures)) if change in each.change]
    return found


def test_it_says_where_the_time_and_the_money_went():
    told = insight(RUN).told
    assert (
        "2.4 min: 5 s waiting, 60 s of boot, 20 s until the model was warm, 60 s for 80 pages, 8 slots 95% busy" in told
    )
    assert "USD 0.0233 (boot 0.0100, warm-up 0.0033, pages 0.0100)" in told
    assert "up to USD 0.1000 for idling afterwards" in told


def test_a_warm_machine_saves_the_wait_the_boot_and_the_load():
    found = saved("still warm")
    assert (found.seconds, found.usd) == (85, pytest.approx(80 / 3600 * 0.60))


def test_a_shorter_idle_time_saves_what_is_beyond_two_minutes():
    found = saved("idle time")
    assert (found.seconds, found.usd) == (0, pytest.approx(480 / 3600 * 0.60))


def test_each_machine_that_idles_less_saves():
    assert saved("idle time", machines=2, idle=1200).usd == pytest.approx(960 / 3600 * 0.60)


def test_spot_saves_its_part_of_all_that_is_paid_for():
    assert saved("spot", spot_usd_per_hour=0.24).usd == pytest.approx(0.6 * 740 / 3600 * 0.60)


def test_twice_the_slots_save_what_a_longer_page_leaves_of_half_the_time():
    found = saved("16 slots", more_slots=True)
    # A page takes 2.5 / 1.7 times as long with 16 in flight, by the planner's tenth for each further one.
    assert found.seconds == pytest.approx(60 * (1 - 2.5 / 1.7 / 2))
    assert found.usd == pytest.approx(found.seconds / 3600 * 0.60)


def test_half_the_pixels_save_half_of_what_images_took():
    found = saved("--longest-side 911", image_seconds=228)
    assert found.seconds == pytest.approx(15)


def test_good_first_attempts_save_those_that_were_not():
    assert saved("first attempt", again_seconds=114).seconds == pytest.approx(15)


@pytest.mark.parametrize(
    "figures",
    [{"more_slots": False}, {"more_slots": True, "page_seconds": 300}, {"more_slots": True, "read": 15}],
    ids=["the server has no more", "they are not busy", "there are hardly more pages"],
)
def test_more_slots_are_advised_where_they_help_alone(figures: dict[str, float]):
    assert not [each for each in savings(RUN.model_copy(update=figures)) if "slots" in each.change]


def test_what_saves_most_is_told_by_money_where_money_was_paid():
    best = insight(RUN.model_copy(update={"spot_usd_per_hour": 0.24})).saving
    assert best is not None
    assert best.change.startswith("an idle time of 2.0 min")


def test_and_by_time_where_none_was():
    found = insight(RUN.model_copy(update={"usd_per_hour": 0.0, "held": 0.0, "idle": 0.0, "image_seconds": 400}))
    assert found.saving is not None
    assert found.saving.change.startswith("reading together")
    assert "USD" not in found.told


def test_a_run_with_nothing_to_save_says_so():
    run = Figures(reading=100, slots=2, read=50, page_seconds=200)
    assert insight(run).told == (
        "It took 100 s: 100 s for 50 pages, 2 slots 100% busy. No single change would have saved much."
    )


seconds = st.floats(0, 10_000)
runs = st.builds(
    Figures,
    waiting=seconds,
    boot=seconds,
    load=seconds,
    reading=seconds,
    slots=st.integers(1, 64),
    read=st.integers(0, 1000),
    page_seconds=seconds,
    more_slots=st.booleans(),
    held=seconds,
    usd_per_hour=st.floats(0, 5),
    spot_usd_per_hour=st.none() | st.floats(0, 5),
    idle=seconds,
).map(lambda run: run.model_copy(update={"held": run.held + run.boot + run.load + run.reading}))


@given(runs, st.floats(0, 1), st.floats(0, 1))
def test_no_change_saves_more_than_there_was(run: Figures, image: float, again: float):
    run = run.model_copy(update={"image_seconds": image * run.page_seconds, "again_seconds": again * run.page_seconds})
    for saving in savings(run):
        assert -1e-6 <= saving.seconds <= run.seconds + 1e-6
        assert -1e-6 <= saving.usd <= run.usd(run.held + run.idle) + 1e-6
