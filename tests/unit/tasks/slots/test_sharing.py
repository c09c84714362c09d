"""The ledger of a server's slots: what each run may hold, whatever the others do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.slots.ledger import Ledger, Measured, SlotClaim, knowing, left, measuring, resized
from tasks.slots.sharing import TURN_SECONDS, Need, settled, shares

LEASE = 10.0


def known(slots: int, at: float = 0.0) -> Ledger:
    return knowing(Ledger(), Measured(what="model", slots=slots, asked=slots, at=at))


def need(wants: int, in_flight: int = 0, **more: Any) -> Need:
    return Need(wants, in_flight, LEASE, **more)


def after(ledger: Ledger, *runs: tuple[str, Need], now: float = 1.0) -> Ledger:
    for run, needed in runs:
        ledger, _ = settled(ledger, run, needed, now)
    return ledger


def holds(ledger: Ledger) -> dict[str, int]:
    return {run: claim.holds for run, claim in ledger.claims.items()}


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


# Fairness


def claim(wants: int = 8, held: int = 0, *, came: float = 0, turned: float = 0, fed: bool = True) -> SlotClaim:
    return SlotClaim(wants=wants, holds=held, ends_at=1000, came_at=came, fed=fed, turned_at=turned)


def dealt(slots: int, now: float, **claims: SlotClaim) -> dict[str, int]:
    return shares(known(slots).model_copy(update={"claims": claims}), now)


def test_newcomers_come_before_all_others():
    old = {f"old{n}": claim(held=1, turned=99) for n in range(8)}
    assert dealt(8, 100, **old, new=claim(fed=False, came=99))["new"] == 1


def test_among_newcomers_the_first_comes_first():
    assert dealt(1, 5, b=claim(came=2, fed=False), a=claim(came=1, fed=False)) == {"a": 1, "b": 0}


def test_a_turn_is_not_broken_off():
    assert dealt(1, TURN_SECONDS, a=claim(held=1, turned=1), b=claim(turned=0)) == {"a": 1, "b": 0}


def test_while_a_newcomer_waits_the_slot_that_was_held_longest_is_passed_on():
    held = {"a": claim(held=1, turned=1), "b": claim(held=1, turned=2)}
    assert dealt(2, 3, **held, new=claim(fed=False, came=3)) == {"a": 0, "b": 1, "new": 1}


def test_a_newcomer_whose_slot_was_not_used_yet_is_still_a_newcomer():
    ledger = after(known(1), ("a", need(1)))
    assert not ledger.claims["a"].fed
    assert after(ledger, ("a", need(1, in_flight=1, begun=True))).claims["a"].fed


def test_after_its_turn_a_run_passes_its_slot_to_the_one_that_waited_longest():
    waiting = {"b": claim(turned=5), "c": claim(turned=3)}
    assert dealt(1, 1 + TURN_SECONDS, a=claim(held=1, turned=1), **waiting) == {"a": 0, "b": 0, "c": 1}


def test_a_turn_that_nobody_waits_for_goes_on():
    assert dealt(8, 500, a=claim(held=8)) == {"a": 8}


def test_twenty_runs_take_turns_on_eight_slots():
    """Each settles every half second for five minutes; a page takes two seconds, and is begun as soon as may be."""
    runs = [Simulated(f"run{n:02}") for n in range(20)]
    run_all(runs, 8, seconds=300, step=0.5, page_seconds=2)
    started = [run.started for run in runs]
    assert min(started) > 0.7 * max(started)
    assert max(run.first_at for run in runs) <= 7


# Whatever happens


@dataclass
class Simulated:
    """A run that has pages enough."""

    name: str
    comes_at: float = 0.0
    dies_at: float = 1e9
    wants: int = 8
    holds: int = 0
    share: int = 0
    pages: list[float] = field(default_factory=list)
    started: int = 0
    first_at: float = 1e9

    def settle(self, ledger: Ledger, now: float) -> Ledger:
        needed = need(self.wants, len(self.pages), begun=self.started > 0)
        ledger, self.share = settled(ledger, self.name, needed, now)
        self.holds = ledger.claims[self.name].holds
        return ledger

    def begin(self, now: float, seconds: float) -> None:
        while len(self.pages) < min(self.holds, self.share):
            self.pages.append(now + seconds)
            self.started += 1
            self.first_at = min(self.first_at, now)


def run_all(runs: list[Simulated], slots: int, *, seconds: float, step: float, page_seconds: float) -> list[int]:
    """Return how many pages were in flight at each step."""
    ledger, now, seen = known(slots), 0.0, []
    while now < seconds:
        for run in runs:
            if run.comes_at <= now < run.dies_at:
                run.pages = [end for end in run.pages if end > now]
                ledger = run.settle(ledger, now)
                run.begin(now, page_seconds)
            elif now >= run.dies_at:
                run.pages = []  # its connections broke
        in_flight = sum(len(run.pages) for run in runs)
        assert in_flight <= slots
        assert ledger.live(now).held <= slots
        seen.append(in_flight)
        now += step
    return seen


lives = st.tuples(st.floats(0, 40), st.floats(0, 60), st.integers(1, 8))


@settings(max_examples=25)
@given(st.integers(1, 8), st.lists(lives, min_size=1, max_size=8), st.floats(0.3, 4))
def test_runs_that_come_and_die_never_have_more_in_flight_than_there_are_slots(slots, plans, page_seconds):
    runs = [Simulated(f"r{n}", come, come + life, wants) for n, (come, life, wants) in enumerate(plans)]
    run_all(runs, slots, seconds=100, step=0.4, page_seconds=page_seconds)


@settings(max_examples=12)
@given(st.integers(1, 8), st.lists(st.integers(1, 8), min_size=1, max_size=12))
def test_slots_are_as_full_as_those_who_want_them_can_make_them(slots, wants):
    runs = [Simulated(f"r{n}", wants=wanted) for n, wanted in enumerate(wants)]
    seen = run_all(runs, slots, seconds=60, step=0.1, page_seconds=2)
    full = min(slots, sum(wants))
    assert sum(seen[50:]) >= 0.95 * full * len(seen[50:])


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


# Measuring


def test_no_page_is_begun_while_somebody_measures():
    ledger = measuring(after(known(8), ("a", need(8))), "m", until=50)
    ledger, share = settled(ledger, "a", need(8, in_flight=3), 2)
    assert (share, holds(ledger)) == (0, {"a": 3})


def test_only_one_measures():
    ledger = measuring(known(8), "m", until=50)
    assert measuring(ledger, "n", until=60).measured_by == "m"


def test_one_who_died_measuring_holds_nobody_up_for_long():
    ledger = measuring(known(8), "m", until=50)
    assert holds(after(ledger, ("a", need(8)), now=50)) == {"a": 8}


def test_what_was_measured_is_forgotten_when_nobody_has_used_it_for_a_while():
    ledger = known(8, at=100.0)
    assert ledger.live(120).capacity == 8
    assert ledger.live(131).capacity == 0
    used = after(ledger, ("a", need(8)), now=129)
    assert used.live(131).capacity == 8


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
