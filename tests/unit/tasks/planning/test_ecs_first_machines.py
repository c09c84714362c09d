"""Where there is no machine, ECS starts two: shown and counted."""

from __future__ import annotations

import pytest

from flows.stacks.registry import StackName, open_deployment
from infra_scripts.common.deployment import Options
from tasks.costs.assumptions import Assumptions
from tasks.costs.price_book import Term, shipped_book
from tasks.planning.architectures import estimates
from tasks.planning.estimate import Estimate, Running, Shape
from tasks.planning.page_times import PageTimes
from tasks.settings.ecs import EcsStackSettings
from tasks.settings.settings import Settings


def estimate(machines: int, running: Running = Running.AUTO_STOP) -> Estimate:
    given = Assumptions(machines=machines)
    ways = [(Shape.ECS, running, Term.ON_DEMAND)]
    (row,) = estimates(50, given, PageTimes(given), shipped_book(), ways).rows
    return row


def test_one_task_from_none_is_paid_for_on_two_machines_and_read_on_one():
    one, two = estimate(1), estimate(2)
    assert one.machines == two.machines == 2
    assert one.reading.typical > two.reading.typical
    assert one.usd.typical > two.usd.typical


def test_what_never_ends_needs_no_second():
    assert estimate(1, Running.ALWAYS_ON).machines == 1


@pytest.mark.parametrize(
    ("stack", "told"),
    [({}, True), ({"max_tasks": 1}, False), ({"capacity": "fargate"}, False)],
    ids=["gpu", "one at the most", "fargate"],
)
def test_the_plan_of_a_service_says_so_where_it_may_happen(stack: dict[str, object], *, told: bool):
    settings = Settings(ecs_stack=EcsStackSettings.model_validate(stack))
    plan = open_deployment(StackName.ECS, settings, Options(allow_from=("10.0.0.0/16",)), "us-east-1").plan()
    assert any("ECS starts two" in note for note in plan.notes) == told


@pytest.mark.parametrize(("stack", "usd"), [({}, "USD 0.50 a month"), ({"capacity": "fargate"}, "USD 0.20 a month")])
def test_the_alarms_that_aws_makes_are_among_those_that_are_paid_for(stack: dict[str, object], usd: str):
    settings = Settings(ecs_stack=EcsStackSettings.model_validate(stack))
    plan = open_deployment(StackName.ECS, settings, Options(allow_from=("10.0.0.0/16",)), "us-east-1").plan()
    (row,) = [row for row in plan.rows if row.what.startswith("scaling")]
    assert row.cost == usd
    assert ("AWS's own" in row.what) == (not stack)
