"""The ledger of a server's slots: whose turn it is, whatever happens."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.slots.ledger import Ledger, SlotClaim
from tasks.slots.sharing import TURN_SECONDS, settled, shares
from tests.unit.tasks.slots.claims import after, claim, known, need


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
    seen = run_all(runs, slots, seconds=100, step=0.4, page_seconds=page_seconds)
    assert max(seen) <= slots


@settings(max_examples=12)
@given(st.integers(1, 8), st.lists(st.integers(1, 8), min_size=1, max_size=12))
def test_slots_are_as_full_as_those_who_want_them_can_make_them(slots, wants):
    runs = [Simulated(f"r{n}", wants=wanted) for n, wanted in enumerate(wants)]
    seen = run_all(runs, slots, seconds=60, step=0.1, page_seconds=2)
    full = min(slots, sum(wants))
    assert sum(seen[50:]) >= 0.95 * full * len(seen[50:])
