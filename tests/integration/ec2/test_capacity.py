"""If EC2 has no machine or refuses one, another is requested, waited for, or the reason is reported."""

from __future__ import annotations

import asyncio

import pytest

from tasks.core.errors import CapacityError, CloudError
from tests.integration.ec2.acquiring import acquired
from tests.support.aws.faults import denied, throttled
from tests.support.aws.front import AwsFront
from tests.support.aws.machines import Machines
from tests.support.aws.pool import Pool
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.long("launches machines for each test: 1 to 8 s")


@pytest.mark.always
async def test_without_spot_capacity_in_one_zone_another_zone_is_used(aws: AwsFront, pool: Pool, machines: Machines):
    aws.capacity.none(market="spot", zone="a")
    used, allocation = await acquired()
    assert allocation.machine.kind == "g4dn.xlarge spot in us-east-1b"
    await used.release(allocation)


async def test_without_spot_capacity_of_a_type_the_next_type_is_used(aws: AwsFront, pool: Pool, machines: Machines):
    aws.capacity.none(market="spot", type="g4dn.xlarge")
    used, allocation = await acquired()
    assert allocation.machine.kind.startswith("g4dn.2xlarge spot")
    await used.release(allocation)


async def test_without_any_spot_capacity_an_on_demand_machine_is_launched(
    aws: AwsFront, pool: Pool, machines: Machines
):
    aws.capacity.none(market="spot")
    used, allocation = await acquired()
    assert allocation.machine.kind.startswith("g4dn.xlarge on-demand")
    await used.release(allocation)


async def test_zones_and_types_that_a_fleet_did_not_try_are_requested_again(
    aws: AwsFront, pool: Pool, machines: Machines
):
    for kind in ("g4dn.xlarge", "g4dn.2xlarge", "g5.xlarge"):
        aws.capacity.none(type=kind)
    used, allocation = await acquired(spot_policy="on_demand")
    assert allocation.machine.kind.startswith("g6.xlarge")
    await used.release(allocation)


async def test_with_spot_only_the_run_waits_for_capacity_and_then_reports_it(
    aws: AwsFront, pool: Pool, machines: Machines
):
    aws.capacity.none(market="spot")
    with pytest.raises(CapacityError, match=r"InsufficientInstanceCapacity for g4dn.xlarge"):
        await acquired(spot_policy="spot", capacity_seconds=0.5)
    assert machines.instances() == {}


async def test_a_quota_of_zero_is_reported_at_once(aws: AwsFront, pool: Pool, machines: Machines):
    aws.capacity.quota(market="spot")
    aws.capacity.quota(market="on-demand")
    with pytest.raises(CloudError, match=r"All G and VT Spot Instance Requests.*Running On-Demand G and VT instances"):
        async with asyncio.timeout(PATIENCE):
            await acquired(capacity_seconds=36_000)


async def test_a_missing_permission_names_the_action(aws: AwsFront, pool: Pool, machines: Machines):
    aws.inject(denied(), "CreateFleet", times=None)
    with pytest.raises(CloudError, match="does not permit CreateFleet"):
        await acquired()


async def test_throttled_calls_are_retried_with_pauses(aws: AwsFront, pool: Pool, machines: Machines):
    injection = aws.inject(throttled(), "DescribeInstances", "CreateFleet", times=2)
    used, allocation = await acquired()
    assert len(injection.hits) == 2
    await used.release(allocation)
