"""Pages correct the measured number of requests that their server works on at once."""

from __future__ import annotations

import heapq
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
    serves: int, begins_with: int, *, sure: bool = False, requested: int = 8, overhead: float = 0.05
) -> list[int]:
    """Read 300 pages on a server that works on `serves` at once; return how many were sent at once, page by page."""
    tracker = ConcurrencyTracker(measured(begins_with, sure=sure), requested)
    sent = [begins_with]
    free = [0.0] * serves
    inside: list[float] = []
    now = 0.0
    for page in range(300):
        while len(inside) >= sent[-1]:
            now = max(now, heapq.heappop(inside))
        start = max(now, heapq.heappop(free))
        seconds = 2.0 + (page * 7 % 5) / 10
        end = start + overhead + seconds
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


@pytest.mark.parametrize(("alone", "full"), [(False, True), (True, False)])
def test_nothing_follows_from_pages_beside_those_of_others_or_of_a_server_with_room(alone, full):
    tracker = ConcurrencyTracker(measured(4, sure=False), 8)
    answer = Answer(response="", done=True, eval_duration=SECOND, total_duration=3 * SECOND)
    assert {tracker.note(answer, float(page), 4, alone=alone, full=full) for page in range(50)} == {None}


def test_nothing_follows_from_a_server_that_sends_no_durations():
    tracker = ConcurrencyTracker(measured(4, sure=False), 8)
    assert {tracker.note(Answer(response="", done=True), 0.0, 4, alone=True, full=True) for _ in range(50)} == {None}
