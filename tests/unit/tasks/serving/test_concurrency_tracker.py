"""Pages correct the measured number of requests that their server works on at once."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.inference.schema import Answer
from tasks.serving.concurrency_tracker import ConcurrencyTracker
from tasks.slots.ledger import Measured

SECOND = 1_000_000_000


def measured(slots: int, *, sure: bool = True) -> Measured:
    return Measured(what="m", slots=slots, asked=8, at=0, sure=sure)


def settled(
    serves: int,
    begins_with: int,
    *,
    sure: bool = False,
    requested: int = 8,
    overhead: Sequence[float] = (0.05,),
    pages: int = 300,
) -> list[int]:
    """Read pages on a server that works on `serves` at once; return how many were sent at once, page by page.

    It spends the seconds of `overhead`, page by page in turn, on a page before it works on it.
    """
    tracker = ConcurrencyTracker(measured(begins_with, sure=sure), requested)
    sent = [begins_with]
    free = [0.0] * serves
    inside: list[float] = []
    now = 0.0
    for page in range(pages):
        while len(inside) >= sent[-1]:
            now = max(now, heapq.heappop(inside))
        start = max(now, heapq.heappop(free))
        seconds = 2.0 + (page * 7 % 5) / 10
        end = start + overhead[page % len(overhead)] + seconds
        heapq.heappush(free, end)
        heapq.heappush(inside, end)
        answer = Answer(
            response="",
            done=True,
            created_at=datetime.fromtimestamp(1e9 + end, UTC),
            total_duration=round((end - now) * SECOND),
            eval_duration=round(seconds * SECOND),
        )
        sent.append(tracker.note(answer, 1e9 + end, sent[-1], alone=True, full=len(inside) == sent[-1]) or sent[-1])
    return sent


@given(st.integers(1, 6), st.integers(1, 2))
def test_a_number_that_is_too_large_is_corrected(serves, more):
    assert settled(serves, serves + more, sure=True)[-1] == serves


@given(st.integers(1, 4), st.integers(8, 16))
def test_the_first_pages_show_that_a_server_works_on_half_of_them_or_less(serves, requested):
    sent = settled(serves, requested, requested=requested, pages=4 * serves + 1)
    assert sent[-1] <= serves


@given(st.integers(1, 8))
def test_a_server_that_works_on_all_that_are_sent_goes_on_being_sent_them(serves):
    assert set(settled(serves, serves, requested=serves)) == {serves}


def test_the_overhead_of_a_busy_machine_is_not_taken_for_missing_slots():
    """A quarter of a page's time, and sometimes all of it."""
    drawn = random.Random(1)
    overhead = [drawn.expovariate(1 / 0.5) for _ in range(300)]
    assert set(settled(8, 8, overhead=overhead)) == {8}


def test_pages_may_wait_for_one_another_until_the_number_is_settled():
    tracker = ConcurrencyTracker(measured(2, sure=False), 2)
    assert not tracker.settled
    for page in range(8):
        answer = Answer(response="", done=True, eval_duration=SECOND, total_duration=SECOND)
        tracker.note(answer, float(page // 2), 2, alone=True, full=True)
    assert tracker.settled


def test_a_number_that_may_be_too_small_is_tried_out():
    assert settled(serves=8, begins_with=5)[-1] == 8


def test_a_number_that_proves_right_is_tried_out_once():
    sent = settled(serves=4, begins_with=3)
    assert sent[-1] == 4
    assert max(sent) == 5
    assert sent.count(5) <= 20


def test_a_number_that_is_sure_stays():
    assert set(settled(serves=8, begins_with=4, sure=True)) == {4}


def test_no_more_are_tried_than_the_run_requested():
    assert max(settled(serves=8, begins_with=3, requested=4)) == 4


def test_nothing_follows_from_pages_beside_those_of_others():
    tracker = ConcurrencyTracker(measured(4, sure=False), 8)
    answer = Answer(response="", done=True, eval_duration=SECOND, total_duration=3 * SECOND)
    assert {tracker.note(answer, float(page), 4, alone=False, full=True) for page in range(50)} == {None}


def test_nothing_follows_from_a_server_with_room_on_which_no_page_waits():
    tracker = ConcurrencyTracker(measured(4, sure=False), 8)
    answer = Answer(response="", done=True, eval_duration=SECOND, total_duration=SECOND)
    assert {tracker.note(answer, float(page), 4, alone=True, full=False) for page in range(50)} == {None}


def test_pages_that_wait_show_the_number_even_if_there_are_not_enough_for_all_slots():
    tracker = ConcurrencyTracker(measured(8, sure=False), 8)
    found = []
    for page in range(1, 6):
        answer = Answer(response="", done=True, eval_duration=SECOND, total_duration=page * SECOND)
        found.append(tracker.note(answer, float(page), 8, alone=True, full=False))
    assert next(filter(None, found)) == 1


def test_nothing_follows_from_a_server_that_sends_no_durations():
    tracker = ConcurrencyTracker(measured(4, sure=False), 8)
    assert {tracker.note(Answer(response="", done=True), 0.0, 4, alone=True, full=True) for _ in range(50)} == {None}


def short_document(slots: int, serves: int, pages: int) -> int | None:
    """Read a document whose pages take a second and are sent at once, fewer than there are `slots`."""
    tracker = ConcurrencyTracker(measured(slots, sure=False), slots)
    found = None
    for page in range(pages):
        end = page // serves + 1
        answer = Answer(
            response="",
            done=True,
            created_at=datetime.fromtimestamp(1e9 + end, UTC),
            total_duration=end * SECOND,
            eval_duration=SECOND,
        )
        last = page == pages - 1
        found = tracker.note(answer, 1e9 + end, slots, alone=True, full=False, last=last) or found
    return found


@pytest.mark.parametrize(("serves", "pages"), [(1, 3), (2, 3), (2, 5), (4, 7)])
def test_a_document_of_few_pages_shows_the_slots_of_a_small_server(serves, pages):
    assert short_document(8, serves, pages) == serves


@pytest.mark.parametrize(("serves", "pages"), [(3, 3), (8, 7), (1, 1)])
def test_a_document_whose_pages_did_not_wait_shows_no_other_number(serves, pages):
    assert short_document(8, serves, pages) is None
