"""The classic table comes out of its own assumptions."""

from __future__ import annotations

import pytest

from tasks.costs.assumptions import CLASSIC, Assumptions
from tasks.costs.price_book import Term
from tasks.planning.estimate import Running, Shape
from tests.unit.tasks.costs.estimated import ends, table


class TestClassic:
    """50 pages, 5-10 s a page, load 10-30 s, 8 slots, USD 0.75 an hour."""

    rows = table(Assumptions().with_values(CLASSIC))

    def test_one_machine_per_page_takes_12_to_33_minutes_in_turn(self):
        row = self.rows[Shape.PER_PAGE_SERIAL, Running.AUTO_STOP, Term.ON_DEMAND]
        assert ends(row.total) == pytest.approx((12.5 * 60, 33.3 * 60), rel=0.01)
        assert ends(row.load) == (500, 1500)
        assert ends(row.reading) == pytest.approx((250, 500))

    def test_all_at_once_they_take_as_long_as_one_and_cost_the_same(self):
        row = self.rows[Shape.PER_PAGE_AT_ONCE, Running.AUTO_STOP, Term.ON_DEMAND]
        serial = self.rows[Shape.PER_PAGE_SERIAL, Running.AUTO_STOP, Term.ON_DEMAND]
        assert ends(row.total) == pytest.approx((15, 40))
        assert ends(row.usd) == pytest.approx(ends(serial.usd))

    def test_one_warm_machine_takes_35_to_70_seconds_and_a_cent(self):
        row = self.rows[Shape.SINGLE, Running.WARM, Term.ON_DEMAND]
        assert ends(row.total) == pytest.approx((35, 70))
        assert round(row.usd.typical, 2) == 0.01

    def test_four_containers_take_10_to_20_seconds_and_two_cents_at_most(self):
        row = self.rows[Shape.ECS, Running.WARM, Term.ON_DEMAND]
        assert ends(row.total) == pytest.approx((10, 20))
        assert round(row.usd.high, 2) == 0.02


class TestWithWhatTheClassicTableLeavesOut:
    """The same, with boot, minimum billing and idling, all else as in the table."""

    rows = table(Assumptions().with_values({"usd_per_hour": "0.75", "page_sigma": "0", "slowdown_per_slot": "0"}))

    def test_a_machine_per_page_pays_50_boots_and_loads(self):
        row = self.rows[Shape.PER_PAGE_AT_ONCE, Running.AUTO_STOP, Term.ON_DEMAND]
        assert ends(row.billed) == pytest.approx((60, 160))  # the minimum; boot, load and page
        assert row.usd.low > 50 * 60 / 3600 * 0.75

    def test_one_machine_costs_ten_times_as_much_when_its_idling_is_paid_for(self):
        warm = self.rows[Shape.SINGLE, Running.WARM, Term.ON_DEMAND]
        row = self.rows[Shape.SINGLE, Running.AUTO_STOP, Term.ON_DEMAND]
        assert ends(row.total) == pytest.approx((40 + 10 + 35, 120 + 30 + 70))
        assert ends(row.billed) == pytest.approx((85 + 600, 220 + 600))
        assert row.usd.typical > 10 * warm.usd.typical
