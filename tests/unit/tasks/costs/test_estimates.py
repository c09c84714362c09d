"""What a plan says."""

from __future__ import annotations

import itertools
from datetime import date

import pytest

from tasks.core.errors import InputError
from tasks.costs.assumptions import Assumptions, Range
from tasks.costs.price_book import Book, Price, Source, Term, shipped_book
from tasks.planning.chart import picture
from tasks.planning.estimate import Running, Shape
from tasks.planning.page_times import PageTimes
from tasks.planning.sizing import needs_gib, sizes
from tasks.planning.verdict import CostPlan, cost_plan
from tests.unit.tasks.costs.estimated import ends, table

TODAY = date(2026, 11, 24)


def _plan(pages: int = 50, *, book: Book | None = None, today: date = TODAY, **limits: float) -> CostPlan:
    assumptions = Assumptions()
    return cost_plan(pages, assumptions, PageTimes(assumptions), book or shipped_book(), today, **limits)


def test_always_on_is_paid_for_all_day_and_shared_by_the_runs_of_the_day():
    one = table(Assumptions())[Shape.SINGLE, Running.ALWAYS_ON, Term.ON_DEMAND]
    ten = table(Assumptions().with_values({"runs_a_day": "10"}))[Shape.SINGLE, Running.ALWAYS_ON, Term.ON_DEMAND]
    assert one.usd.typical > 24 * 0.526
    assert ten.usd.typical == pytest.approx(one.usd.typical / 10)


def test_real_time_from_no_instance_is_paid_for_until_its_instance_goes_after_its_last_copy():
    rows = table(Assumptions())
    queued = rows[Shape.SAGEMAKER_ASYNC, Running.AUTO_STOP, Term.ON_DEMAND]
    row = rows[Shape.SAGEMAKER, Running.AUTO_STOP, Term.ON_DEMAND]
    assert row.total == queued.total
    assert ends(row.billed) == pytest.approx([seconds + 600 for seconds in ends(queued.billed)])
    assert row.usd.typical < rows[Shape.SAGEMAKER, Running.ALWAYS_ON, Term.ON_DEMAND].usd.typical


def test_a_reserved_machine_is_offered_when_the_book_has_its_price():
    source = {"api": Source(url="https://example.com", date=TODAY)}
    price = Price(item="g4dn.xlarge", region="us-east-1", term=Term.RESERVED_3Y_FULL, usd=0.2, source="api")
    plan = _plan(book=shipped_book().merged(Book(sources=source, prices=(price,))))
    row = next(row for row in plan.rows if row.term is Term.RESERVED_3Y_FULL and row.shape is Shape.SINGLE)
    assert row.running is Running.ALWAYS_ON
    assert 24 * 0.2 < row.usd.typical < 24 * 0.526


def test_what_has_no_price_is_left_out_and_said():
    assert not any(row.term is Term.RESERVED_3Y_FULL for row in _plan().rows)
    assert any(note.startswith("Left out") and "reserved 3 y, full upfront" in note for note in _plan().notes)


def test_what_was_not_verified_is_said_of_small_things_too():
    price = shipped_book().find("alb:hour", "us-east-1")
    assert price is not None
    doubted = Book(sources=shipped_book().sources, prices=(price.model_copy(update={"checked": False}),))
    (note,) = [note for note in _plan(book=shipped_book().merged(doubted)).notes if "not verified" in note]
    assert "alb:hour" in note
    assert "reserved 1 y, no upfront" in note


def test_fargate_reads_with_another_model_and_never_wins():
    plan = _plan(deadline=240)
    (row,) = [row for row in plan.rows if row.shape is Shape.FARGATE]
    assert row.total.high < 240
    assert row.usd.typical < plan.best.usd.typical  # and yet
    # 50 pages of 1.3 s over four tasks of four vCPUs; a minute of 4 vCPUs, 8 GB and an address is billed.
    flat = table(Assumptions().with_values({"page_sigma": "0", "machines": "4"}))
    row = flat[Shape.FARGATE, Running.AUTO_STOP, Term.ON_DEMAND]
    assert row.reading.typical == pytest.approx(4 * 1.3)
    assert row.usd.typical == pytest.approx(4 * (4 * 0.04048 + 8 * 0.004445 + 0.005) / 60)


def test_the_same_seed_gives_the_same_plan_and_another_another():
    other = Assumptions().with_values({"seed": "2"})
    assert _plan() == _plan()
    assert PageTimes(Assumptions()).reading(50, 8) != PageTimes(other).reading(50, 8)


def test_a_million_pages_are_read_at_the_rate_of_the_slots():
    times = PageTimes(Assumptions().with_values({"page_sigma": "0"}))
    assert times.reading(1_000_000, 8, 4).typical == pytest.approx(1_000_000 * 7.5 / 32, rel=0.005)


def test_measured_pages_are_drawn_from_when_there_are_any():
    times = PageTimes(Assumptions(), (2.0, 2.0))
    assert times.reading(16, 8) == Range.exactly(4.0)


def test_fewer_pages_in_flight_take_less_time_each():
    times = PageTimes(Assumptions().with_values({"page_sigma": "0"}))
    assert times.reading(1, 1).typical == pytest.approx(7.5 / 1.7)


def test_a_budget_alone_asks_for_the_fastest_and_a_deadline_for_the_cheapest():
    fastest, cheapest = _plan(budget=2.0).best, _plan(deadline=3600).best
    assert fastest is not None
    assert cheapest is not None
    assert fastest.usd.high <= 2.0
    assert fastest.total.typical < cheapest.total.typical
    assert cheapest.usd.typical < fastest.usd.typical


def test_a_deadline_is_kept_only_if_the_slow_end_keeps_it():
    for deadline in (100, 200, 300):
        best = _plan(deadline=deadline).best
        assert best is None or best.total.high <= deadline


def test_a_machine_that_someone_else_keeps_warm_never_wins():
    assert _plan().rows[0].running is Running.WARM
    assert _plan().best != _plan().rows[0]


def test_where_nothing_is_in_time_it_is_said():
    plan = _plan(deadline=1)
    assert plan.best is None
    assert plan.verdict.startswith("No option")


def test_prices_of_over_90_days_ago_are_said_to_be_old():
    (old,) = [note for note in _plan().notes if "older than 90 days" in note]
    assert "g4dn.xlarge reserved 1 y, no upfront (2020-01-01)." in old  # nothing else is
    (old,) = [note for note in _plan(today=date(2027, 3, 1)).notes if "older than 90 days" in note]
    assert "g4dn.xlarge (2026-09-10)" in old
    assert "alb:hour (2026-09-29)" in old


def test_no_size_holds_more_than_its_gpu():
    found = sizes(50, Assumptions(), PageTimes(Assumptions()), shipped_book())
    assert found
    assert all(size.needs_gib <= size.vram_gib for size in found)


def test_a_nearer_deadline_takes_more_slots_or_a_larger_machine():
    later, sooner = (_plan(200, deadline=seconds).size for seconds in (3600, 350))
    assert later is not None
    assert sooner is not None
    assert later.usd.typical < sooner.usd.typical
    assert sooner.total.high <= 350 < later.total.high


def test_a_larger_context_needs_a_larger_gpu():
    wide = Assumptions().with_values({"num_ctx": "32768"})
    assert needs_gib(wide, 8) == pytest.approx(6 + 1 + 14)  # 56 KiB x 32,768 x 8
    found = sizes(50, wide, PageTimes(wide), shipped_book())
    assert {size.instance_type for size in found if size.slots == 8} == {
        "g5.xlarge",
        "g5.2xlarge",
        "g6.xlarge",
        "g6.2xlarge",
    }


@pytest.mark.parametrize(("name", "value"), [("pages", "5"), ("page_seconds", "10-5"), ("slots", "0"), ("slots", "x")])
def test_a_wrong_assumption_is_refused_by_its_name(name: str, value: str):
    with pytest.raises(InputError, match=name):
        Assumptions().with_values({name: value})


def test_ranges_are_read_as_people_write_them():
    assert list(map(Range.parse, ("5", "5-10", "5-6-10"))) == [
        Range.exactly(5),
        Range(low=5, typical=7.5, high=10),
        Range(low=5, typical=6, high=10),
    ]


def test_every_estimate_ascends_and_adds_up():
    for row, (low, high) in itertools.product(_plan().rows, [("low", "typical"), ("typical", "high")]):
        for part in (row.total, row.usd, row.billed):
            assert getattr(part, low) <= getattr(part, high)
        parts = (row.boot, row.load, row.reading)
        assert getattr(row.total, low) == pytest.approx(sum(getattr(part, low) for part in parts))


def test_the_same_plan_gives_the_same_picture():
    assert picture(_plan()) == picture(_plan())
    assert picture(_plan()).count("<circle") == sum(row.running is not Running.WARM for row in _plan().rows)


def test_small_things_that_another_region_has_no_price_for_are_said_to_be_of_us_east_1():
    abroad = Assumptions().with_values({"region": "eu-west-1"})
    plan = cost_plan(50, abroad, PageTimes(abroad), shipped_book(), TODAY)
    assert any("us-east-1's prices" in note for note in plan.notes)
    assert not any("us-east-1's prices" in note for note in _plan().notes)


def test_a_machine_that_is_always_on_does_not_win_if_a_day_is_too_short_for_the_days_runs():
    best = _plan(pages=100_000, deadline=3 * 86_400).best
    assert best is not None
    assert best.running is Running.AUTO_STOP
