"""What the price book says."""

import pytest

from tasks.prices import HOURS_A_MONTH, gp3_usd_per_hour, on_demand_usd_per_hour
from tasks.settings import Settings


def test_every_type_that_is_tried_by_default_has_a_price():
    assert all(on_demand_usd_per_hour(each) for each in Settings().ec2.types)


def test_a_type_that_is_not_in_the_book_has_none():
    assert on_demand_usd_per_hour("u-24tb1.metal") is None


@pytest.mark.parametrize(
    ("size", "throughput", "usd_per_month"),
    [(100, 125, 8.0), (100, 500, 8.0 + 15.0), (100, 1000, 8.0 + 35.0 + 5.0)],
    ids=["all included", "throughput beyond what is included", "and the operations that it needs"],
)
def test_a_disk_costs_its_size_and_what_is_beyond_the_included(size: int, throughput: int, usd_per_month: float):
    assert gp3_usd_per_hour(size, throughput) * HOURS_A_MONTH == pytest.approx(usd_per_month)
