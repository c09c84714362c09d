"""What the page times of a server say of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.inference.schema import Answer
from tasks.serving.latency_tracker import LatencyTracker, Served
from tasks.settings.reading import ReadSettings

SETTINGS = ReadSettings(timeout_seconds=300, timeout_least_seconds=10)


def page(seconds: float = 4.0, tokens: int = 400, queued: float = 0.0) -> Served:
    """A page of which a quarter of the time goes into reading the image."""
    worked = seconds - queued
    return Served(seconds, queued, worked, worked * 0.75, tokens)


def paced(*pages: Served) -> LatencyTracker:
    pace = LatencyTracker(SETTINGS, num_predict=4096)
    for one in pages:
        pace.note(one, 8)
    return pace


def slow(pace: LatencyTracker, *pages: Served) -> bool:
    return sum(pace.note(one, 8) for one in pages) > 0


def test_ollamas_durations_tell_queue_and_work_apart():
    answer = Answer(
        response="", done=True, eval_count=5, total_duration=9 * 10**9, load_duration=10**9,
        prompt_eval_duration=2 * 10**9, eval_duration=3 * 10**9,
    )  # fmt: skip
    assert Served.of(answer, 9.5) == Served(seconds=9.5, queued=3, worked=5, writing=3, tokens=5)


def test_without_durations_all_of_it_is_work():
    assert Served.of(Answer(response="", done=True), 9.5) == Served(9.5, 0, 9.5, 0, 0)


# Slow


def test_pages_as_usual_are_not_slow():
    assert not slow(paced(*[page()] * 8), *[page()] * 80)


def test_pages_that_take_three_times_as_long_for_as_many_tokens_are_slow():
    assert slow(paced(*[page()] * 8), *[page(12.0)] * 8)


@given(st.lists(st.integers(0, 4096), min_size=8, max_size=8))
def test_longer_and_shorter_pages_are_not_slow(tokens):
    """A second for the image, and three for 400 tokens."""
    assert not slow(paced(*[page()] * 8), *(page(1 + 3 * count / 400, count) for count in tokens))


def test_pages_that_wait_in_the_server_for_longer_than_it_works_on_them_are_slow():
    assert slow(paced(*[page()] * 8), *[page(9.0, queued=5.0)] * 8)


def test_one_slow_page_is_no_slow_server():
    assert not slow(paced(*[page()] * 8), page(40.0), *[page()] * 7)


def test_what_stays_slow_is_the_usual_by_and_by():
    pace = paced(*[page()] * 8)
    assert [slow(pace, *[page(12.0)] * 8) for _ in range(4)][-1] is False


# Timeouts


def test_the_first_pages_have_all_the_time_that_the_settings_give():
    assert paced().limits().first == 300


def test_the_timeout_is_twice_what_the_longest_answer_would_take():
    """1 s for the image and 3 s for 400 tokens make 31.72 s for 4096."""
    assert round(paced(*[page()] * 8).limits().first, 2) == round(2 * (1 + 3 * 4096 / 400), 2)


def test_a_retry_waits_longer_within_the_same_bounds():
    pace = paced(*[page(4.0)] * 8)
    usual = pace.limits().first
    assert (pace.limits(1.2).first, pace.limits(100).first) == (1.2 * usual, 300)


def test_only_the_wait_for_the_first_token_follows_the_pace():
    settings = ReadSettings(timeout_seconds=900, first_token_seconds=300, silence_seconds=20)
    pace = LatencyTracker(settings, num_predict=4096)
    before = pace.limits()
    for _ in range(8):
        pace.note(page(0.1), 8)
    after = pace.limits()
    assert (before.first, after.first) == (300, 30)
    assert {(limits.silence, limits.whole) for limits in (before, after)} == {(20, 900)}


def test_a_page_that_may_wait_behind_others_has_as_much_time_as_all_of_them():
    settings = ReadSettings(timeout_seconds=900, first_token_seconds=300, silence_seconds=20)
    limits = LatencyTracker(settings, num_predict=4096).limits(behind=7)
    assert (limits.first, limits.silence, limits.whole) == (8 * 300, 20, 900 + 7 * 300)


def test_the_time_of_pages_that_waited_behind_others_is_the_usual_one():
    assert paced(*[page(100.0)] * 8).limits(behind=7).first > 300 == paced(*[page(100.0)] * 8).limits().first


def test_a_timeout_stays_within_the_bounds():
    assert paced(*[page(0.1)] * 8).limits().first == 10
    assert paced(*[page(200.0)] * 8).limits().first == 300


def test_a_timeout_is_never_shorter_than_twice_the_slowest_page():
    unknown = Served(seconds=30, queued=0, worked=30, writing=0, tokens=0)
    assert paced(*[unknown] * 8).limits().first == 60


@given(st.lists(st.floats(0.01, 1000), max_size=80))
def test_no_page_times_lead_out_of_the_bounds(seconds):
    assert 10 <= paced(*map(page, seconds)).limits().first <= 300


# Stragglers


def test_nobody_lags_while_there_are_no_peers():
    assert paced(page(), page()).straggler_seconds is None


def test_a_page_lags_after_four_times_the_median():
    assert paced(*[page()] * 8, page(50.0)).straggler_seconds == 16


def test_a_busy_client_that_sees_pages_late_is_no_slow_server():
    pace = LatencyTracker(SETTINGS, 4096)
    seen = [pace.note(Served(seconds, 0.0, 1.0, 0.8, 100), 8) for seconds in [1.0] * 8 + [20.0] * 8]
    assert not any(seen)
