"""The ledger of a server's slots: what each run takes and gives back, part by part."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.slots.ledger import Ledger, SlotClaim, left, resized
from tasks.slots.sharing import settled
from tests.unit.tasks.slots.claims import LEASE, after, holds, known, need

# Taking and giving back


def test_a_run_alone_gets_what_it_wants():
    assert holds(after(known(8), ("a", need(8)))) == {"a": 8}
    assert holds(after(known(8), ("a", need(3)))) == {"a": 3}


def test_a_newcomer_gets_nothing_that_is_in_use():
    ledger = after(known(8), ("a", need(8)), ("b", need(8)), ("a", need(8, in_flight=8)), ("b", need(8)))
    assert holds(ledger) == {"a": 8, "b": 0}


def test_pages_that_end_make_room_for_a_newcomer():
    ledger = after(known(8), ("a", need(8)), ("b", need(8)), ("a", need(8, in_flight=6)), ("b", need(8)))
    assert holds(ledger) == {"a": 6, "b": 2}


def test_slots_that_are_not_in_use_are_given_up_at_once():
    ledger = after(known(8), ("a", need(8)), ("b", need(8)), ("a", need(8)), ("b", need(8)))
    assert holds(ledger) == {"a": 4, "b": 4}


def test_what_one_does_not_want_the_others_get():
    ledger = after(known(8), ("a", need(2)), ("b", need(8)), ("c", need(8)), ("b", need(8)), ("c", need(8)))
    assert holds(ledger) == {"a": 2, "b": 3, "c": 3}


def test_a_run_that_leaves_leaves_its_slots_to_those_that_stay():
    ledger = after(known(8), ("a", need(8)), ("b", need(8)), ("a", need(8)), ("b", need(8)))
    assert holds(after(left(ledger, "a"), ("b", need(8)))) == {"b": 8}


def test_a_dead_runs_slots_come_back_when_its_claim_ends():
    ledger = after(known(8), ("a", need(8, in_flight=8)))
    assert holds(after(ledger, ("b", need(8)), now=LEASE)) == {"a": 8, "b": 0}
    assert holds(after(ledger, ("b", need(8)), now=1 + LEASE)) == {"b": 8}


def test_a_run_that_stood_still_comes_back_with_what_it_has_in_flight_and_no_more():
    ledger = after(known(8), ("a", need(8, in_flight=8)))
    ledger = after(ledger, ("b", need(8)), now=30)
    ledger, share = settled(ledger, "a", need(8, in_flight=8), 31)
    assert holds(ledger) == {"a": 8, "b": 8}
    assert share == 0
    ledger, share = settled(ledger, "a", need(8), 32)
    assert (holds(ledger), share) == ({"a": 4, "b": 8}, 0)
    ledger, share = settled(after(ledger, ("b", need(8, in_flight=3)), now=33), "a", need(8), 34)
    assert (holds(ledger), share) == ({"a": 4, "b": 4}, 4)


def test_nothing_is_written_while_nothing_changes():
    ledger = after(known(8), ("a", need(8)))
    assert after(ledger, ("a", need(8, in_flight=5)), now=2.0) == ledger


def test_a_claim_is_renewed_well_before_its_end():
    ledger = after(known(8), ("a", need(8)))
    assert after(ledger, ("a", need(8)), now=4.0).claims["a"].ends_at == 4.0 + LEASE


# Parts that come and go


def test_a_part_that_comes_adds_its_slots_and_one_that_goes_takes_them_away():
    ledger = resized(known(4), 2, seen_at=1)
    assert (ledger.capacity, ledger.limit) == (8, 8)
    ledger = resized(resized(ledger, 4, seen_at=2), 1, seen_at=3)
    assert (ledger.capacity, ledger.limit) == (4, 4)
    assert resized(ledger, 0, seen_at=4).limit == 0


def test_of_two_runs_the_one_who_has_looked_later_is_right():
    ledger = resized(known(4), 3, seen_at=5)
    assert resized(ledger, 2, seen_at=4).parts == 3
    assert resized(ledger, 2, seen_at=6).parts == 2


def test_a_part_that_comes_while_the_others_are_in_trouble_has_its_slots_and_theirs_come_back_one_by_one():
    ledger = after(resized(known(4), 2, seen_at=1), ("a", need(8, trouble_at=1)), now=2)
    assert ledger.limit == 4
    ledger = resized(ledger, 3, seen_at=3)
    assert ledger.limit == 8
    assert after(ledger, ("a", need(12, relief_at=4)), now=5).limit == 9


def test_no_page_is_begun_while_no_part_serves_and_trouble_does_not_let_one_in():
    ledger = resized(known(4), 0, seen_at=1)
    _, share = settled(ledger, "a", need(8, trouble_at=2), 3)
    assert share == 0


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 24), st.integers(0, 24)), min_size=1, max_size=20))
def test_runs_never_begin_a_page_beyond_the_slots_of_the_parts_that_serve(steps: list[tuple[int, int, int]]):
    ledger = known(4)
    flying = {"a": 0, "b": 0}
    for moment, (parts, *wanted) in enumerate(steps, 1):
        ledger = resized(ledger, parts, seen_at=moment)
        for run, wants in zip(flying, wanted, strict=True):
            ledger, share = settled(ledger, run, need(wants, in_flight=flying[run]), moment)
            before = flying[run]
            flying[run] = max(before, min(share, wants))
            assert flying[run] == before or sum(flying.values()) <= 4 * parts
        flying = dict.fromkeys(flying, 0) if moment % 3 == 0 else flying


# Other clocks


def test_a_claim_of_a_clock_that_was_a_day_fast_ends_as_one_of_now():
    claim = SlotClaim(wants=4, holds=4, ends_at=1e6 + 86_400, came_at=1e6)
    ledger = known(4, at=1e6).model_copy(update={"claims": {"fast": claim}, "limited_at": 1e6 + 86_400})
    live = ledger.live(1e6)
    assert live.held == 4
    assert live.limited_at == 1e6
    assert live.live(1e6 + 61).held == 0


def test_a_measurement_by_a_clock_that_was_a_day_fast_keeps_nobody_waiting():
    ledger = Ledger(measured_by="fast", measured_until=1e6 + 86_400)
    assert ledger.live(1e6).measured_by == "fast"
    assert ledger.live(1e6).live(1e6 + 61).measured_by == ""
