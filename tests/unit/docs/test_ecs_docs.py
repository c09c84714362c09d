"""The figures of docs/how-to/ecs.md are those of the planner and of the price book."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.costs.assumptions import Assumptions
from tasks.costs.price_book import Term, shipped_book
from tasks.costs.rates import HOURS_A_MONTH, balancer_usd_per_hour
from tasks.planning.architectures import estimates
from tasks.planning.estimate import Running, Shape
from tasks.planning.page_times import PageTimes

TEXT = (Path(__file__).parents[3] / "docs" / "how-to" / "ecs.md").read_text()
PAGES = 5000


@pytest.mark.parametrize("term", [Term.SPOT, Term.ON_DEMAND])
@pytest.mark.parametrize("shape", [Shape.ECS, Shape.SINGLE])
def test_the_cost_example_is_what_the_planner_says(shape: Shape, term: Term):
    assumed = {"slots": "4", "machines": "4", "idle_seconds": "1500"}
    for name, value in assumed.items():
        assert f"--assume {name}={value}" in " ".join(TEXT.split())
    given = Assumptions().with_values(assumed)
    (row,) = estimates(PAGES, given, PageTimes(given), shipped_book(), [(shape, Running.AUTO_STOP, term)]).rows
    assert f"${row.usd.low:.2f} to {row.usd.high:.2f} | ${row.usd_per_1000.typical:.2f} |" in TEXT


def test_the_balancer_s_month_is_the_price_book_s():
    assert f"costs USD {balancer_usd_per_hour() * HOURS_A_MONTH:.2f} a month, used or not" in " ".join(TEXT.split())
