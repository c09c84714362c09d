"""A plan chooses faults only by the request."""

from __future__ import annotations

from tests.faults.marks import Page
from tests.faults.wire_faults import GENERATE, Call, Fault, Kind, listed, seeded


def test_a_list_is_applied_to_the_requests_of_a_page_in_order():
    plan = listed({Page(1, 2): [Fault(Kind.BUSY), Fault(Kind.EMPTY)]})
    calls = [Call(GENERATE, Page(1, 2), nth, 0.0) for nth in (1, 2, 3)]
    assert [plan(call) for call in calls] == [Fault(Kind.BUSY), Fault(Kind.EMPTY), None]
    assert plan(Call(GENERATE, Page(2, 1), 1, 0.0)) is None


def test_a_seed_chooses_the_same_faults_in_any_order():
    faults = [Fault(kind) for kind in Kind]
    calls = [Call(GENERATE, Page(1, number), 1, 0.0) for number in range(200)]
    first, again = seeded(7, 0.3, faults), seeded(7, 0.3, faults)
    there = [first(call) for call in calls]
    assert there == [again(call) for call in reversed(calls)][::-1]
    assert there != [seeded(8, 0.3, faults)(call) for call in calls]
    assert 30 < sum(fault is not None for fault in there) < 90
