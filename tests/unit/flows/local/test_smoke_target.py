"""The machine of a smoke test is the cheapest type of the stack, and the budget becomes a time limit."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.local.smoke_target import REMOVAL_SECONDS, Target, target_of
from flows.stacks.registry import StackName
from tasks.core.errors import InputError
from tasks.costs.price_book import shipped_book
from tasks.costs.rates import on_demand_usd_per_hour
from tasks.settings.ec2 import ModelDisk
from tasks.settings.settings import Settings

REGION = "us-east-1"


def chosen(stack: StackName = StackName.EC2, max_usd: float = 2.0, **sections: dict[str, object]) -> Target:
    settings = Settings()
    for name, changed in sections.items():
        section = getattr(settings, name)
        settings = settings.model_copy(update={name: section.model_copy(update=changed)})
    return target_of(stack, settings, REGION, max_usd, shipped_book())


def test_the_target_is_one_machine_of_the_cheapest_type():
    target = chosen(ec2={"types": ("g5.xlarge", "g4dn.xlarge"), "machines": 4})
    assert (target.instance_type, target.settings.ec2.types, target.settings.ec2.machines) == (
        "g4dn.xlarge",
        ("g4dn.xlarge",),
        1,
    )
    assert json.loads(target.environment["HEARTH_EC2__TYPES"]) == ["g4dn.xlarge"]


def test_the_price_includes_disk_address_and_for_ecs_two_machines_and_the_balancer():
    alone = on_demand_usd_per_hour("g4dn.xlarge", REGION)
    assert alone is not None
    assert chosen().usd_per_hour > alone
    assert chosen(StackName.ECS).usd_per_hour > 2 * alone


@pytest.mark.parametrize("stack", list(REMOVAL_SECONDS))
@given(max_usd=st.floats(2, 100, allow_nan=False))
def test_the_cost_never_exceeds_the_budget(stack: StackName, max_usd: float):
    target = chosen(stack, max_usd)
    seconds = target.work_seconds + REMOVAL_SECONDS[stack]
    assert seconds / 3600 * target.usd_per_hour + target.usd_at_launch <= max_usd


def test_the_least_budget_in_the_error_is_enough():
    with pytest.raises(InputError, match="Allow at least USD ") as refused:
        chosen(max_usd=0.01)
    least = float(str(refused.value).partition("Allow at least USD ")[2].partition(";")[0])
    assert chosen(max_usd=least).instance_type == "g4dn.xlarge"


def test_a_machine_on_ec2_ends_itself_when_the_budget_is_spent():
    target = chosen(max_usd=1.0)
    assert target.settings.ec2_stack.lifetime_hours * target.usd_per_hour <= 1.0


def test_the_price_includes_a_paid_disk_initialization():
    usual, filled = chosen(), chosen(ec2_stack={"model_disk": ModelDisk.PROVISIONED})
    assert filled.usd_at_launch > usual.usd_at_launch == 0
    assert filled.work_seconds < usual.work_seconds


@pytest.mark.parametrize("stack", [StackName.LAMBDA, StackName.MONITORING])
def test_a_stack_without_machines_is_refused_with_an_alternative(stack: StackName):
    with pytest.raises(InputError, match="hearth infra smoke ec2"):
        chosen(stack)


def test_a_machine_without_a_price_is_refused():
    with pytest.raises(InputError, match="hearth prices refresh"):
        chosen(ec2={"types": ("p9.huge",)})
