"""Every second of a machine's life is somebody's, or nobody's, once."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.costs.attribution import DAY_MS, RUNNING, Kind, Piece, Rates, Span, Use, pieces

NOON = 20_000 * DAY_MS + DAY_MS // 2
RATES = Rates(machine=0.36, on_demand=0.72, disk=0.036)
SPAN = Span("i-1", "g4dn.xlarge spot in us-east-1a", NOON, RATES, up=NOON + 100_000, ended=NOON + 1_000_000)


def use(token: str, start: float, end: float | None, machine: str = "i-1", **work: float) -> Use:
    """A lease, in seconds after noon."""
    ended = None if end is None else NOON + round(end * 1000)
    return Use(machine, token, f"run {token}", NOON + round(start * 1000), ended, work)


def split(*uses: Use, span: Span = SPAN, now: int = NOON + 2_000_000) -> dict[tuple[Kind, str], float]:
    """Seconds by kind and lease."""
    found: dict[tuple[Kind, str], Fraction] = {}
    for piece in pieces([span], uses, now):
        key = piece.kind, piece.use.token if piece.use else "nobody"
        found[key] = found.get(key, Fraction(0)) + piece.seconds
    return {key: float(seconds) for key, seconds in found.items()}


def lived(found: list[Piece], *kinds: Kind) -> Fraction:
    return sum((piece.seconds for piece in found if piece.kind in kinds), Fraction(0))


def test_a_run_pays_for_the_boot_that_it_waits_for_and_for_the_idling_after_it():
    assert split(use("a", 0, 400)) == {(Kind.BOOT, "a"): 100, (Kind.LEASED, "a"): 300, (Kind.IDLE, "a"): 600}


def test_a_boot_s_seconds_before_the_first_lease_are_its_own():
    earlier = replace(SPAN, started=NOON - 500_000, up=NOON - 500_000, ended=NOON - 200_000)
    found = pieces([earlier, SPAN], [use("a", -500, -200), use("b", 2, 1000)], NOON + 2_000_000)
    assert {piece.use and piece.use.token for piece in found if piece.kind is Kind.BOOT} == {"b"}


def test_runs_at_once_share_each_second_in_equal_parts():
    assert split(use("a", 0, 400), use("b", 200, 400)) == {
        (Kind.BOOT, "a"): 100,
        (Kind.LEASED, "a"): 200,
        (Kind.LEASED, "b"): 100,
        (Kind.IDLE, "a"): 300,
        (Kind.IDLE, "b"): 300,
    }


def test_idling_between_two_runs_is_the_first_one_s():
    found = split(use("a", 0, 300), use("b", 500, 1000))
    assert found == {(Kind.BOOT, "a"): 100, (Kind.LEASED, "a"): 200, (Kind.IDLE, "a"): 200, (Kind.LEASED, "b"): 500}


def test_a_machine_that_nobody_leased_idles_for_nobody():
    assert split(span=replace(SPAN, up=None)) == {(Kind.IDLE, "nobody"): 1000}


def test_one_that_never_got_up_boots_for_as_long_as_somebody_waits():
    assert split(use("a", 0, 900), span=replace(SPAN, up=None)) == {(Kind.BOOT, "a"): 900, (Kind.IDLE, "a"): 100}


def test_a_stopped_machine_s_disk_is_kept_for_whoever_held_it_last_until_it_is_terminated():
    span = replace(SPAN, keeps_disk=True, kept_until=NOON + 1_500_000)
    assert split(use("a", 0, 1000), span=span)[Kind.STOPPED, "a"] == 500


def test_a_stopped_machine_s_disk_is_paid_for_until_it_starts_again():
    stopped, again = replace(SPAN, keeps_disk=True), replace(SPAN, started=NOON + 1_200_000, up=None, ended=None)
    found = list(pieces([again, stopped], [use("a", 0, 1000)], NOON + 1_300_000))
    assert lived(found, Kind.STOPPED) == 200
    assert lived(found, Kind.IDLE) == 100


def test_a_minute_is_billed_at_least_and_what_was_not_lived_is_no_life():
    found = split(use("a", 0, 20), span=replace(SPAN, up=None, ended=NOON + 20_000))
    assert found == {(Kind.BOOT, "a"): 20, (Kind.MINIMUM, "a"): 40}


def test_a_machine_that_runs_is_billed_for_up_to_now():
    assert split(use("a", 100, None), span=replace(SPAN, ended=None), now=NOON + 150_000)[Kind.LEASED, "a"] == 50


def test_dollars_are_the_machine_s_while_it_runs_and_the_disk_s_while_it_exists():
    span = replace(SPAN, keeps_disk=True, kept_until=NOON + 1_500_000)
    found = list(pieces([span], [use("a", 0, 1000)], NOON + 9_000_000))
    assert sum(piece.usd for piece in found) == pytest.approx(0.36 * 1000 / 3600)
    assert sum(piece.disk_usd for piece in found) == pytest.approx(0.036 * 1500 / 3600)
    assert sum(piece.saved_usd for piece in found) == pytest.approx(0.36 * 1000 / 3600)


def test_documents_of_a_batch_share_its_lease_by_their_page_seconds():
    assert use("a", 0, 100, one=30.0, two=10.0).documents() == {"one": Fraction(3, 4), "two": Fraction(1, 4)}
    assert use("a", 0, 100, one=0.0).documents() == {"run a": Fraction(1)}


moments = st.integers(NOON, NOON + 3 * DAY_MS)
uses = st.lists(st.builds(Use, st.just("i-1"), st.uuids().map(str), st.just("run"), moments, st.none() | moments))


@st.composite
def lives(draw: st.DrawFn) -> list[Span]:
    """A machine that is started and stopped some times; it may still run."""
    times = sorted(draw(st.lists(moments, min_size=1, max_size=9, unique=True)))
    spans = []
    for number in range(0, len(times), 2):
        ended = times[number + 1] if number + 1 < len(times) else None
        up = draw(st.none() | st.integers(times[number], ended or times[number] + DAY_MS))
        spans.append(Span("i-1", "kind", times[number], RATES, up=up, ended=ended, keeps_disk=draw(st.booleans())))
    return spans


@given(lives(), uses, moments)
def test_the_parts_of_a_life_are_the_life_to_the_millisecond(life: list[Span], leases: list[Use], now: int):
    found = list(pieces(life, leases, now))
    running = sum(max(0, min(span.ended or now, now) - span.started) for span in life)
    assert lived(found, *RUNNING) == Fraction(running, 1000)
    ends = [min(other.started, now) for other in life[1:]] + [now]
    kept = sum(max(0, end - s.ended) for s, end in zip(life, ends, strict=True) if s.ended and s.keeps_disk)
    assert lived(found, Kind.STOPPED) == Fraction(kept, 1000)


@given(lives(), uses, moments, moments)
def test_what_a_second_was_for_does_not_change_as_time_goes_on(
    life: list[Span], leases: list[Use], one: int, other: int
):
    now, later = sorted((one, other))
    ended = [use for use in leases if use.ended is not None]

    def before(found: list[Piece]) -> dict[tuple[str, str, str], Fraction]:
        sums: dict[tuple[str, str, str], Fraction] = {}
        for piece in found:
            if piece.kind in {Kind.BOOT, Kind.MINIMUM}:
                continue
            length = max(0, min(piece.end, now) - piece.start)
            key = piece.kind, piece.use.token if piece.use else "", str(piece.start // DAY_MS)
            part = piece.seconds * Fraction(length, piece.end - piece.start)
            sums[key] = sums.get(key, Fraction(0)) + part
        return {key: value for key, value in sums.items() if value}

    known = [replace(span, up=span.up if span.up is not None else span.started) for span in life]
    assert before(list(pieces(known, ended, now))) == before(list(pieces(known, ended, later)))
