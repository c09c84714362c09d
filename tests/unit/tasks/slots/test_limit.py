"""The ledger of a server's slots: its limit, and its measurement."""

from __future__ import annotations

from tasks.slots.ledger import Ledger
from tasks.slots.sharing import settled
from tests.unit.tasks.slots.claims import after, holds, known, need

# The limit


def test_trouble_halves_the_limit():
    ledger = after(known(8), ("a", need(8, trouble_at=1)), now=2)
    assert (ledger.limit, ledger.capacity) == (4, 8)


def test_trouble_that_began_before_the_last_cut_is_the_same_trouble():
    ledger = after(known(8), ("a", need(8, trouble_at=1)), ("b", need(8, trouble_at=1.5)), now=2)
    assert ledger.limit == 4


def test_there_is_always_one_slot():
    ledger = after(known(1), ("a", need(1, trouble_at=1)), now=2)
    assert ledger.limit == 1


def test_relief_lets_one_more_in_up_to_the_capacity():
    ledger = after(known(8), ("a", need(8, trouble_at=1)), now=2)
    ledger = after(ledger, ("a", need(8, relief_at=3)), now=4)
    assert ledger.limit == 5
    for now in range(5, 20):
        ledger = after(ledger, ("a", need(8, relief_at=now)), now=now + 0.5)
    assert ledger.limit == 8


def test_a_cut_is_shared_by_all():
    ledger = after(known(8), ("a", need(8)), ("b", need(8)), ("a", need(8)), ("b", need(8)))
    ledger = after(ledger, ("a", need(8, trouble_at=1)), ("b", need(8)), now=2)
    assert holds(ledger) == {"a": 2, "b": 2}


# Measuring, as runs of version 0.1 do, which may use the server beside those that do not


def measuring(ledger: Ledger, *, until: float) -> Ledger:
    return ledger.model_copy(update={"measured_by": "m", "measured_until": until})


def test_no_page_starts_while_a_run_measures():
    ledger = measuring(after(known(8), ("a", need(8))), until=50)
    ledger, share = settled(ledger, "a", need(8, in_flight=3), 2)
    assert (share, holds(ledger)) == (0, {"a": 3})


def test_one_who_died_measuring_holds_nobody_up_for_long():
    ledger = measuring(known(8), until=50)
    assert holds(after(ledger, ("a", need(8)), now=50)) == {"a": 8}


def test_what_was_measured_is_forgotten_when_nobody_has_used_it_for_a_while():
    ledger = known(8, at=100.0)
    assert ledger.live(120).capacity == 8
    assert ledger.live(131).capacity == 0
    used = after(ledger, ("a", need(8)), now=129)
    assert used.live(131).capacity == 8
