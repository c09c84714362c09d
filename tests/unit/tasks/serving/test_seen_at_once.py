"""Pages show how many requests their server works on at once."""

from __future__ import annotations

import heapq
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from tasks.inference.schema import Answer
from tasks.serving.parallelism import SeenAtOnce
from tasks.serving.warmup import Warmth
from tasks.slots.ledger import Measured

SECOND = 1_000_000_000
START = 1_000_000.0


def told(start: float, end: float) -> Answer:
    """An answer with Ollama's durations, which was worked on between these seconds."""
    took = round((end - start) * SECOND)
    at = datetime.fromtimestamp(START + end, UTC)
    return Answer(response="", done=True, created_at=at, total_duration=took, eval_duration=took)


def seen(*answers: tuple[Answer, float, float]) -> int:
    found = SeenAtOnce()
    for answer, began, ended in answers:
        found.note(answer, START + began, START + ended)
    return found.most


def row(serves: int, sent: int, pages: int) -> list[tuple[Answer, float, float]]:
    """Pages of a server that works on `serves` of `sent` at once; each takes a second."""
    free, inside, answers, now = [0.0] * serves, [], [], 0.0
    for _ in range(pages):
        if len(inside) == sent:
            now = heapq.heappop(inside)
        start = max(now, heapq.heappop(free))
        heapq.heappush(free, start + 1)
        heapq.heappush(inside, start + 1)
        answers.append((told(start, start + 1), now, start + 1))
    return answers


@given(st.integers(1, 8), st.integers(0, 4), st.integers(1, 40))
def test_no_more_are_seen_than_the_server_works_on(serves, more, pages):
    assert seen(*row(serves, serves + more, pages)) == min(serves, pages)


def test_a_single_page_shows_one_slot():
    assert seen((told(0, 1), 0, 1)) == 1


@given(st.floats(0.01, 0.2))
def test_pages_that_overlap_by_a_late_clock_alone_are_not_seen_at_once(late):
    assert seen(*((told(turn, turn + 1 + late), turn, turn + 1) for turn in range(10))) == 1


def test_without_durations_a_server_works_on_a_page_from_its_first_token_on():
    """The second of two that were sent together has its first token when the other one has ended."""
    answers = [Answer(response="", done=True, first_seconds=first) for first in (0.2, 1.2)]
    assert seen((answers[0], 0, 1), (answers[1], 0, 2)) == 1
    together = [Answer(response="", done=True, first_seconds=first) for first in (0.2, 0.3)]
    assert seen((together[0], 0, 1), (together[1], 0, 1.1)) == 2


def test_without_any_times_no_more_than_one_is_seen():
    assert seen(*((Answer(response="", done=True), 0, 1) for _ in range(8))) == 1


def warmth(**measured: object) -> Warmth:
    first = {"what": "m", "slots": 8, "asked": 8, "at": 0, "sure": False}
    return Warmth("d", "qwen25vl", Measured(**first | measured), requested=8)


def test_a_number_that_was_only_asked_for_is_proven_when_so_many_pages_were_seen():
    begun = warmth()
    assert not begun.measured.proven
    some = begun.shown(begun.measured, 3, 1)
    assert (some.measured.slots, some.measured.proven, some.seen) == (8, False, 3)
    assert begun.shown(begun.measured, 8, 1).measured.proven


def test_replicas_are_proven_by_as_many_pages_as_all_of_them_have_slots():
    begun = warmth(slots=4)
    assert not begun.shown(begun.measured, 4, 2).measured.proven
    assert begun.shown(begun.measured, 8, 2).measured.proven


def test_a_number_that_the_server_told_is_proven():
    assert warmth(sure=True).measured.proven


def test_a_run_reports_no_more_slots_than_it_requested():
    begun = warmth()
    other = begun.measured.model_copy(update={"slots": 16, "asked": 16})
    assert begun.shown(other, 3, 1).measured.slots == 8
